import { Backoff, type Message, type OutboxError, OutboxAdmin, Sink, type Topic } from "@twinbox/outbox"
import { Duration, Effect, Either, Metric, Schedule } from "effect"
import type * as Indexes from "./Indexes.ts"
import * as MirrorBatch from "./MirrorBatch.ts"
import * as MirrorKeys from "./MirrorKeys.ts"
import * as MirrorMarker from "./MirrorMarker.ts"
import * as MirrorMetrics from "./MirrorMetrics.ts"
import * as MirrorScripts from "./MirrorScripts.ts"
import { RedisConnection, type Replies } from "./RedisConnection.ts"
import type { RedisError } from "./RedisError.ts"
import * as RedisOutboxKeys from "./RedisOutboxKeys.ts"
import * as RedisScript from "./RedisScript.ts"
import { adviceOn } from "./ServerAdvice.ts"
import { tombstoneMillis } from "./TombstoneTtl.ts"

export interface Options<V extends Topic.View> {
  /** What is mirrored. The view is in the type: an original topic does not fit an anonymized mirror. */
  readonly topics: ReadonlyArray<Topic.Any<V>>
  /**
   * Whether the outbox has never had this sink (see `isNew`). A new mirror makes its marker; one that is not new
   * and finds none has lost its data.
   */
  readonly isNew: boolean
  /** Name of the sink and of the marker. Default `defaultName`, for originals `defaultOriginalsName`. */
  readonly name?: string
  /** What stands before the colon of a hash's name. Default: the stream; for originals the stream and `_v2`. */
  readonly prefixOf?: (stream: string) => string
  /**
   * How long tombstones are kept, 1 ms at least. Default: for ever. It must be longer than the latest duplicate
   * of an older message can come (a dead letter sent again, say), and never longer than the writer remembers
   * the version of a deleted record: a record made again would go unnoticed.
   */
  readonly tombstoneTtl?: Duration.DurationInput
  /** The longest payload, in bytes. Default 16 MiB, which is more than a MongoDB document can hold. */
  readonly maxPayloadBytes?: number
}

export interface OriginalsOptions extends Options<"original"> {
  /** What records can be looked up by, as `RedisOutbox` has it. Default: nothing. */
  readonly indexes?: Indexes.Indexes
}

/** A sink whose Redis always shows the newest version that it was given. */
export interface RedisMirror<out V extends Topic.View> extends Sink.Sink<V> {
  /** Whether the mirror has everything that was given to it; false when its data was lost, until it is rebuilt. */
  readonly ready: Effect.Effect<boolean, RedisError>
}

/** Name of a mirror that is given none. */
export const defaultName = "redis-mirror"

/** Name of a mirror of originals that is given none. */
export const defaultOriginalsName = "redis-originals"

const mib = 1024 * 1024

const sinkReason = ({ reason }: RedisError): Sink.SinkErrorReason =>
  // Waiting does not help against these: a person has to do something first.
  reason === "AuthenticationFailed" || reason === "WrongType" || reason === "Refused"
    ? "NotReady"
    : "Unavailable"

const toSinkError = (sink: string) => (cause: RedisError) =>
  new Sink.SinkError({ sink, reason: sinkReason(cause), cause })

const markerIsGone = (sink: string) =>
  new Sink.SinkError({
    sink,
    reason: "NotReady",
    cause: "the marker is gone: Redis lost data of this mirror; rebuild it (twinbox rebuild)"
  })

interface Outcome {
  readonly applied: number
  readonly rejections: ReadonlyArray<Sink.Rejection>
}

/** Sorts the replies to the writes of a batch; fails with an error that is not about one key. */
const settle = (writes: ReadonlyArray<MirrorBatch.Write>, replies: Replies) =>
  Effect.gen(function* () {
    const rejections: Array<Sink.Rejection> = []
    let applied = 0
    for (const [index, write] of writes.entries()) {
      const reply = replies[index]
      if (reply === undefined) return yield* Effect.dieMessage("a pipeline has a reply for each command")
      if (Either.isRight(reply)) applied += Number(reply.right)
      else if (MirrorBatch.isOfOneKey(reply.left)) {
        rejections.push(...MirrorBatch.refused(write, reply.left))
      } else return yield* reply.left
    }
    return { applied, rejections } satisfies Outcome
  })

/** Makes `deliver`: one round trip per batch. */
const deliverTo = (name: string, marker: MirrorMarker.MirrorMarker, options: MirrorBatch.Options) => {
  const appliedHere = Metric.tagged(MirrorMetrics.applied, "sink", name)
  const staleHere = Metric.tagged(MirrorMetrics.stale, "sink", name)
  return (batch: ReadonlyArray<Message.Message>) =>
    Effect.gen(function* () {
      const { rejections, writes } = MirrorBatch.plan(batch, options)
      const calls = writes.map((write) => write.command)
      calls.push(marker.countBatch())
      const replies = yield* RedisScript.callAll(MirrorScripts.all, calls)
      const outcome = yield* settle(writes, replies)
      const count = replies.at(-1)
      if (count === undefined || !marker.noteCount(yield* count)) return yield* markerIsGone(name)
      yield* Metric.incrementBy(appliedHere, outcome.applied)
      yield* Metric.incrementBy(
        staleHere,
        batch.length - outcome.applied - outcome.rejections.length - rejections.length
      )
      return [...outcome.rejections, ...rejections]
    }).pipe(Effect.catchTag("RedisError", (error) => toSinkError(name)(error)))
}

const advise = Effect.gen(function* () {
  const redis = yield* RedisConnection
  // Hosted servers may keep INFO to themselves: then there is no advice.
  const info = yield* Effect.orElseSucceed(redis.command(["INFO"]), () => "")
  for (const line of adviceOn(String(info))) yield* Effect.logWarning(line)
})

/** Redis may go away between the connection and what a new mirror needs of it. */
const whileRedisIsAway = Backoff.between("50 millis", "1 second").pipe(
  Schedule.intersect(Schedule.recurUpTo("10 seconds"))
)

/** Scripts that cannot be loaded now are loaded when they are missed. */
const loadScripts = RedisScript.load(MirrorScripts.all).pipe(
  Effect.catchIf(
    (error) => error.retryable,
    () => Effect.void
  )
)

const makeMarker = (name: string) =>
  Effect.retry(MirrorMarker.makeUnlessThere(name), {
    schedule: whileRedisIsAway,
    while: (error) => error.retryable
  })

interface Settings {
  readonly name: string
  readonly prefixOf: (stream: string) => string
  readonly indexes?: Indexes.Indexes
}

const makeNamed = <V extends Topic.View>(options: Options<V>, settings: Settings) =>
  Effect.gen(function* () {
    const redis = yield* RedisConnection
    const { indexes, name, prefixOf } = settings
    yield* loadScripts
    if (options.isNew) yield* makeMarker(name)
    yield* advise
    const marker = new MirrorMarker.MirrorMarker(name)
    const deliver = deliverTo(name, marker, {
      keys: MirrorKeys.make(prefixOf),
      tombstoneMillis: tombstoneMillis(options.tombstoneTtl ?? Duration.infinity),
      maxPayloadBytes: options.maxPayloadBytes ?? 16 * mib,
      ...(indexes === undefined ? {} : { indexes })
    })
    const mirror: RedisMirror<V> = {
      name,
      isMirror: true,
      topics: options.topics,
      deliver: (batch) => Effect.provideService(deliver(batch), RedisConnection, redis),
      ready: Effect.provideService(marker.isStanding, RedisConnection, redis)
    }
    return mirror
  })

/**
 * Makes a mirror of anonymized topics: `customer/42` goes to the hash `customer:42` with the fields `version` and
 * `json`. A new mirror needs Redis to be there for its marker, and waits 10 seconds; afterwards Redis comes and goes.
 */
export const make = (
  options: Options<"anonymized">
): Effect.Effect<RedisMirror<"anonymized">, RedisError, RedisConnection> =>
  makeNamed(options, { name: defaultName, prefixOf: (stream) => stream, ...options })

/**
 * Makes a mirror of original topics, which brings personal data to Redis: `customer/42` goes to `customer_v2:42`.
 * Records of `RedisOutbox` keep what was written in Redis until MongoDB has decided on it.
 */
export const originals = (
  options: OriginalsOptions
): Effect.Effect<RedisMirror<"original">, RedisError, RedisConnection> =>
  makeNamed(options, {
    name: defaultOriginalsName,
    prefixOf: RedisOutboxKeys.defaultPrefix,
    indexes: () => ({}),
    ...options
  })

/**
 * Whether the outbox has never had a sink of this name, and so the mirror cannot have lost anything. To be asked
 * before a relay with that sink runs.
 */
export const isNew = (
  name: string = defaultName
): Effect.Effect<boolean, OutboxError.OutboxError, OutboxAdmin.OutboxAdmin> =>
  Effect.gen(function* () {
    const sinks = yield* (yield* OutboxAdmin.OutboxAdmin).sinks
    return !sinks.some((sink) => sink.name === name)
  })

/** Says that a mirror has everything again, for those who fill it by themselves: a rebuild says so at its end. */
export const markReady = (name: string = defaultName): Effect.Effect<void, RedisError, RedisConnection> =>
  MirrorMarker.makeAnew(name)
