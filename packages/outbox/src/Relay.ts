import { Context, Duration, Effect, Fiber, Layer, Schedule } from "effect"
import { InFlight } from "./InFlight.ts"
import { makeId } from "./Message.ts"
import type { OutboxError } from "./OutboxError.ts"
import { OutboxStore } from "./OutboxStore.ts"
import * as RelayLane from "./RelayLane.ts"
import * as RelayPolicy from "./RelayPolicy.ts"
import * as RelayReader from "./RelayReader.ts"
import * as RelaySettler from "./RelaySettler.ts"
import type { Sink } from "./Sink.ts"
import * as Slot from "./Slot.ts"

export interface Options {
  /** At least one; their names differ. */
  readonly sinks: ReadonlyArray<Sink>
  /** Name of this relay in leases and logs. Default: a new random one. */
  readonly owner?: string
  /**
   * Bound on what the relay holds in memory: messages, each counted once more for every 8 KiB of its
   * payload. Default 8,192, which is 64 MB at most.
   */
  readonly maxInFlight?: number
  /** Messages in one call of a sink, at most. Default 500. */
  readonly batchSize?: number
  /** Time limit of one call of a sink. Default 30 seconds. */
  readonly sinkTimeout?: Duration.DurationInput
  readonly retry?: RelayPolicy.RetryPolicy
  /** Default `park`. */
  readonly afterDeadLetter?: RelayPolicy.AfterDeadLetter
  /** Pause between sweeps of the collection, at the least. Default 30 seconds. */
  readonly sweepEvery?: Duration.DurationInput
  /** How long a stop waits for messages on their way. Default 3 seconds. */
  readonly drainWithin?: Duration.DurationInput
}

export interface Status {
  readonly mode: RelayReader.Mode
  /** Messages taken in and not yet settled. */
  readonly inFlight: number
  /** `createdAt` (ms since the epoch) of the message that has been on its way the longest. */
  readonly oldestCreatedAt: number | undefined
}

/**
 * Moves messages from the outbox to sinks: in order per key, at least once, deleted only when every sink
 * has confirmed.
 */
export class Relay extends Context.Tag("@twinbox/outbox/Relay")<
  Relay,
  {
    readonly status: Effect.Effect<Status>
    /**
     * Works until interrupted, then finishes what is on its way (for `drainWithin` at most) and gives its
     * slots back. What it did not finish stays in the outbox. Fails with `StaleLease` when another relay
     * has taken its slots.
     */
    readonly run: Effect.Effect<never, OutboxError>
  }
>() {}

const defaults = {
  maxInFlight: 8_192,
  batchSize: 500,
  sinkTimeout: Duration.seconds(30),
  retry: RelayPolicy.defaultRetry,
  afterDeadLetter: "park" as const,
  sweepEvery: Duration.seconds(30),
  drainWithin: Duration.seconds(3),
  caughtUpBelow: 2_000,
  fullAfter: Duration.seconds(1)
}

const checkSinks = (sinks: ReadonlyArray<Sink>) => {
  const names = new Set(sinks.map((sink) => sink.name))
  if (sinks.length === 0) return Effect.dieMessage("a relay needs at least one sink")
  if (names.size < sinks.length) return Effect.dieMessage("two sinks of one relay have the same name")
  if (names.has("*")) return Effect.dieMessage("'*' cannot be the name of a sink")
  return Effect.void
}

/** Waits until nothing is on its way. */
const untilEmpty = (inFlight: InFlight) =>
  Effect.sync(() => inFlight.size).pipe(
    Effect.repeat({ until: (size) => size === 0, schedule: Schedule.spaced("10 millis") }),
    Effect.asVoid
  )

/** At a stop: what is on its way may arrive, while the workers live. What does not in time is still in the outbox. */
const drain = (inFlight: InFlight, workersEnd: Effect.Effect<unknown>, within: Duration.DurationInput) =>
  Effect.raceFirst(untilEmpty(inFlight), workersEnd).pipe(
    // It runs in a finalizer, where nothing can be interrupted unless it says so.
    Effect.interruptible,
    Effect.timeoutTo({
      duration: within,
      onSuccess: () => undefined,
      onTimeout: () => `${inFlight.size} messages were not confirmed before the stop; they stay in the outbox`
    }),
    Effect.flatMap((left) => (left === undefined ? Effect.void : Effect.logWarning(left)))
  )

/** A relay over the store in the context. It does nothing until its `run` is run. */
export const make = (given: Options) =>
  Effect.gen(function* () {
    yield* checkSinks(given.sinks)
    const store = yield* OutboxStore
    const options = { ...defaults, ...given }
    const owner = options.owner ?? makeId()
    let inFlight = new InFlight(options.maxInFlight)
    let mode: () => RelayReader.Mode = () => "catching-up"

    const makeLane = (sink: Sink, settler: RelaySettler.Settler) =>
      Effect.flatMap(store.blockedKeys({ sink: sink.name, slots: Slot.all }), (parked) =>
        RelayLane.make(sink, { ...options, timeout: options.sinkTimeout }, parked, settler.offer)
      )

    const run = Effect.scoped(
      Effect.gen(function* () {
        const lease = yield* Effect.acquireRelease(store.claim(owner, Slot.all), (held) =>
          Effect.ignoreLogged(Effect.timeout(Effect.interruptible(store.release(held)), options.drainWithin))
        )
        yield* store.registerSinks(
          options.sinks.map(({ name, topics }) => ({ name, topics: topics.map((topic) => topic.name) }))
        )
        // Of an earlier run nothing is on its way any more: what it did not settle is read again.
        inFlight = new InFlight(options.maxInFlight)
        const settler = yield* RelaySettler.make(store, lease, inFlight)
        const lanes = yield* Effect.forEach(options.sinks, (sink) => makeLane(sink, settler))
        const reader = RelayReader.make({ store, inFlight, lanes, settler }, { ...options, slots: Slot.all })
        mode = reader.mode
        const workers = yield* Effect.forkScoped(
          Effect.all([settler.run, ...lanes.map((lane) => lane.run)], {
            concurrency: "unbounded",
            discard: true
          })
        )
        // Finalizers run last first: drain, then the workers end, then the lease is released.
        yield* Effect.addFinalizer(() => drain(inFlight, Fiber.await(workers), options.drainWithin))
        return yield* Effect.raceFirst(reader.run, Effect.zipRight(Fiber.join(workers), Effect.never))
      })
    ).pipe(Effect.annotateLogs("relay", owner))

    const status = Effect.sync((): Status => ({
      mode: mode(),
      inFlight: inFlight.size,
      oldestCreatedAt: inFlight.oldestCreatedAt
    }))
    return Relay.of({ status, run })
  })

/** The relay as a service; run it with `Effect.flatMap(Relay, (relay) => relay.run)`. */
export const layer = (options: Options): Layer.Layer<Relay, never, OutboxStore> =>
  Layer.effect(Relay, make(options))
