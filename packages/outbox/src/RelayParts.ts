import { type Context, type Duration, Effect } from "effect"
import { Holding } from "./Holding.ts"
import { InFlight } from "./InFlight.ts"
import * as LaneState from "./LaneState.ts"
import type { OutboxStore, RegisteredSink } from "./OutboxStore.ts"
import * as RelayLane from "./RelayLane.ts"
import * as RelayReader from "./RelayReader.ts"
import * as RelaySettler from "./RelaySettler.ts"
import type { Sink } from "./Sink.ts"

export interface LaneSettings extends Omit<LaneState.Options, "canFallBehind" | "sweepEvery"> {
  /** Calls at once, each with keys of its own. */
  readonly concurrency: number
}

export interface Settings {
  readonly sinks: ReadonlyArray<{ readonly sink: Sink; readonly settings: LaneSettings }>
  readonly leaseMillis: number
  readonly maxInFlight: number
  readonly drainWithin: Duration.DurationInput
  readonly reader: RelayReader.Options
}

/** What one membership of a relay is made of. */
export interface RelayParts {
  readonly store: Context.Tag.Service<OutboxStore>
  readonly settings: Settings
  readonly holding: Holding
  /** Slots that are about to be given back: nothing new of them is taken in. */
  readonly yielding: Set<number>
  readonly inFlight: InFlight
  readonly lanes: ReadonlyArray<RelayLane.RelayLane>
  readonly reader: RelayReader.Reader
  readonly settler: RelaySettler.Settler
  /** What the last heartbeat has shown. */
  readonly noteSinks: (sinks: ReadonlyArray<RegisteredSink>) => void
}

export const make = (
  store: Context.Tag.Service<OutboxStore>,
  owner: string,
  settings: Settings
): Effect.Effect<RelayParts> =>
  Effect.gen(function* () {
    const holding = new Holding(owner)
    const inFlight = new InFlight(settings.maxInFlight)
    const yielding = new Set<number>()
    const ownTopics = new Map(
      settings.sinks.map(({ sink }) => [sink.name, new Set(sink.topics.map(({ name }) => name))])
    )
    let registered: ReadonlyArray<RegisteredSink> = []

    const wanted = new Set([...ownTopics.values()].flatMap((topics) => [...topics]))
    const missingSinks = (topic: string) =>
      registered.flatMap(({ name, topics }) =>
        topics.includes(topic) && ownTopics.get(name)?.has(topic) !== true ? [name] : []
      )

    const settler: RelaySettler.Settler = yield* RelaySettler.make({
      store,
      inFlight,
      owns: (slot) => holding.owns(slot),
      leaseOf: holding.leaseOf,
      isWanted: (topic) => wanted.has(topic),
      permitted: holding.permitted,
      missingSinks,
      orderKey: LaneState.orderKeyOf(settings.sinks.flatMap(({ sink }) => sink.topics)),
      letGo: (slots) => Effect.forEach(lanes, (lane) => lane.letGo(slots), { discard: true }),
      written: (deliveries) => lanes.forEach((lane) => lane.written(deliveries))
    })
    const shared: LaneState.Shared = {
      store,
      finished: settler.offer,
      leaseOf: holding.leaseOf,
      alone: Effect.unsafeMakeSemaphore(1),
      permitted: holding.permitted,
      persistently: RelaySettler.persistently
    }
    const common = { canFallBehind: settings.sinks.length > 1, sweepEvery: settings.reader.sweepEvery }
    const lanes: ReadonlyArray<RelayLane.RelayLane> = settings.sinks.map(({ settings: lane, sink }) =>
      RelayLane.makeParallel(sink, { ...lane, ...common }, shared, lane.concurrency)
    )
    const reader = RelayReader.make(
      {
        store,
        inFlight,
        lanes,
        settler,
        takes: (slot) => holding.owns(slot) && !yielding.has(slot)
      },
      settings.reader
    )
    return {
      store,
      settings,
      holding,
      yielding,
      inFlight,
      lanes,
      reader,
      settler,
      noteSinks: (sinks) => void (registered = sinks)
    }
  })
