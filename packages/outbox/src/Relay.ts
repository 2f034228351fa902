import { Context, Duration, Effect, Layer, Random } from "effect"
import * as Backoff from "./Backoff.ts"
import type { LaneStatus } from "./RelayLane.ts"
import * as MessageHeaders from "./MessageHeaders.ts"
import type { OutboxError } from "./OutboxError.ts"
import { OutboxStore } from "./OutboxStore.ts"
import * as RelayPolicy from "./RelayPolicy.ts"
import type * as RelayReader from "./RelayReader.ts"
import type * as RelayParts from "./RelayParts.ts"
import * as RelayTerm from "./RelayTerm.ts"
import { isSinkName, type Sink } from "./Sink.ts"

/** How a relay treats one sink. */
export interface LaneOptions {
  /** Messages in one call of the sink, at most. Default 500. */
  readonly batchSize?: number
  /** Calls of the sink at once, each with keys of its own. Default 1. */
  readonly concurrency?: number
  /** Time limit of one call of the sink. Default 30 seconds. */
  readonly sinkTimeout?: Duration.DurationInput
  readonly retry?: RelayPolicy.RetryPolicy
  /** Default `park`. */
  readonly afterDeadLetter?: RelayPolicy.AfterDeadLetter
  /**
   * How long messages wait in memory for a sink that does not answer. Then its circuit opens: they are left behind for
   * it, and the other sinks go on as if it was not there. Default 1 second. A single sink is waited for.
   */
  readonly patience?: Duration.DurationInput
  /**
   * With so many messages waiting in memory a sink falls behind, if the memory is full of them and other sinks have
   * nothing to do because of that. Default: its share of `maxInFlight`.
   */
  readonly maxQueue?: number
}

export interface Options extends LaneOptions {
  /** At least one; their names differ. */
  readonly sinks: ReadonlyArray<Sink>
  /** Settings of single sinks, by name, where they differ from those of the relay. */
  readonly lanes?: Readonly<Record<string, LaneOptions>>
  /** First part of this relay's name in leases and logs. What follows is never the same again. Default `relay`. */
  readonly owner?: string
  /**
   * How long a relay may be silent before others take its slots over; a third of it lies between two heartbeats.
   * Default 6 seconds. A relay that hears nothing from the store for so long calls no sink until it does.
   */
  readonly lease?: Duration.DurationInput
  /**
   * Bound on what the relay holds in memory: messages, each counted once more for every 8 KiB of its
   * payload. Default 8,192, which is 64 MB at most.
   */
  readonly maxInFlight?: number
  /** Pause between sweeps of the collection, at the least. Default 30 seconds. */
  readonly sweepEvery?: Duration.DurationInput
  /**
   * Headers that become annotations of log lines about one message. In the clear: never personal data. Default
   * `request_id` and `session_id`.
   */
  readonly carriedHeaders?: ReadonlyArray<string>
  /** How long a stop, or giving slots to another relay, waits for messages on their way. Default 3 seconds. */
  readonly drainWithin?: Duration.DurationInput
}

export interface Status {
  readonly mode: RelayReader.Mode
  /** Messages taken in and not yet settled. */
  readonly inFlight: number
  /** `createdAt` (ms since the epoch) of the message that has been on its way the longest. */
  readonly oldestCreatedAt: number | undefined
  /** Slots that it owns. */
  readonly slots: number
  /** Whether it takes part: it runs and has not been expelled. */
  readonly isMember: boolean
  readonly sinks: ReadonlyArray<{
    readonly name: string
    readonly state: LaneStatus
    /** Keys that wait there for a person, as far as this relay knows. */
    readonly parkedKeys: number
  }>
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
     * slots back. What it did not finish stays in the outbox. Any number of relays share the slots of an outbox; one
     * that was expelled while it could not be heard comes back by itself. Fails on what trying again does not mend.
     */
    readonly run: Effect.Effect<never, OutboxError>
  }
>() {}

const defaults = {
  lease: Duration.seconds(6),
  maxInFlight: 8_192,
  sweepEvery: Duration.seconds(30),
  drainWithin: Duration.seconds(3),
  carriedHeaders: MessageHeaders.carriedByDefault
}

const laneDefaults = {
  batchSize: 500,
  concurrency: 1,
  sinkTimeout: Duration.seconds(30),
  retry: RelayPolicy.defaultRetry,
  afterDeadLetter: "park" as const,
  patience: Duration.seconds(1)
}

/** A reader that finds fewer new messages than this has caught up; one that finds no room for so long falls back. */
const readerLimits = { caughtUpBelow: 2_000, fullAfter: Duration.seconds(1) }

const checkSinks = (sinks: ReadonlyArray<Sink>) => {
  const names = sinks.map((sink) => sink.name)
  if (sinks.length === 0) return Effect.dieMessage("a relay needs at least one sink")
  if (new Set(names).size < sinks.length) {
    return Effect.dieMessage("two sinks of one relay have the same name")
  }
  const wrong = names.find((name) => !isSinkName(name))
  return wrong === undefined
    ? Effect.void
    : Effect.dieMessage(`'${wrong}' cannot be the name of a sink: letters, digits, '-' and '_', 64 at most`)
}

/** The settings of a sink's lane. */
const laneSettings = (
  options: Options & Pick<Required<Options>, "maxInFlight" | "carriedHeaders">,
  sink: Sink
): RelayParts.LaneSettings => {
  const { batchSize, concurrency, sinkTimeout, maxQueue, ...rest } = {
    ...laneDefaults,
    maxQueue: Math.max(1, Math.floor(options.maxInFlight / Math.max(2, options.sinks.length))),
    ...options,
    ...options.lanes?.[sink.name]
  }
  const { afterDeadLetter, patience, retry } = rest
  return {
    batchSize,
    concurrency,
    timeout: sinkTimeout,
    retry,
    afterDeadLetter,
    patience,
    maxQueue,
    carriedHeaders: options.carriedHeaders
  }
}

const suffixLimit = 2 ** 31

/** 62 random bits: no two processes ever have the same name. */
const makeSuffix = Effect.map(
  Effect.all([Random.nextIntBetween(0, suffixLimit), Random.nextIntBetween(0, suffixLimit)]),
  (parts) => parts.map((part) => part.toString(36).padStart(6, "0")).join("")
)

/** Between two memberships of one relay. */
const rejoin = Backoff.between("100 millis", "5 seconds")

/** A relay over the store in the context. It does nothing until its `run` is run. */
export const make = (given: Options) =>
  Effect.gen(function* () {
    yield* checkSinks(given.sinks)
    const store = yield* OutboxStore
    const options = { ...defaults, ...given }
    const name = `${options.owner ?? "relay"}-${yield* makeSuffix}`
    const settings: RelayParts.Settings = {
      sinks: options.sinks.map((sink) => ({ sink, settings: laneSettings(options, sink) })),
      leaseMillis: Duration.toMillis(options.lease),
      maxInFlight: options.maxInFlight,
      drainWithin: options.drainWithin,
      reader: { ...readerLimits, sweepEvery: options.sweepEvery }
    }
    let terms = 0
    let parts: RelayParts.RelayParts | undefined

    const serve = Effect.suspend(() => {
      // An expelled owner never comes back: what it still had on its way counts for nothing.
      const owner = `${name}:${(terms += 1)}`
      return Effect.annotateLogs(
        RelayTerm.run(store, owner, settings, (started) => (parts = started)),
        "relay",
        owner
      )
    })

    const run = serve.pipe(
      Effect.ensuring(Effect.sync(() => (parts = undefined))),
      Effect.tapError((error) =>
        error.reason === "StaleLease"
          ? Effect.logWarning(`relay ${name} was expelled because nothing was heard of it; it joins again`)
          : Effect.void
      ),
      Effect.retry({ while: (error) => error.reason === "StaleLease", schedule: rejoin })
    )

    const status = Effect.sync((): Status => {
      const lanes = parts?.lanes ?? []
      return {
        mode: parts?.reader.mode() ?? "paused",
        inFlight: parts?.inFlight.size ?? 0,
        oldestCreatedAt: parts?.inFlight.oldestCreatedAt,
        slots: parts?.holding.size ?? 0,
        isMember: parts !== undefined,
        sinks: options.sinks.map(({ name: sink }) => {
          const lane = lanes.find((one) => one.sink.name === sink)
          return { name: sink, state: lane?.status() ?? "away", parkedKeys: lane?.parkedKeys() ?? 0 }
        })
      }
    })
    return Relay.of({ status, run })
  })

/** The relay as a service; run it with `Effect.flatMap(Relay, (relay) => relay.run)`. */
export const layer = (options: Options): Layer.Layer<Relay, never, OutboxStore> =>
  Layer.effect(Relay, make(options))
