import { Backoff, Inbox, MessageHeaders, TraceContext, type Transaction } from "@twinbox/outbox"
import { Array, Cause, type Context, Data, type Duration, Effect, Either, Metric, Option } from "effect"
import * as KafkaConsumerMetrics from "./KafkaConsumerMetrics.ts"
import type { RawRecord, Received } from "./KafkaConsumerRecord.ts"
import type { Prepared, Subscription } from "./KafkaConsumerSubscription.ts"

/** Runs an effect in a transaction of the database that the inbox is in, as MongoDB's `Transaction.run` does. */
export type Transact<TE, TR> = <A, E>(
  body: Effect.Effect<A, E, Transaction.Transaction>
) => Effect.Effect<A, E | TE, TR>

/** How a message is tried again. */
export interface Retry {
  /** Attempts before a record is given up on whose failure is not known to be retryable. */
  readonly maxAttempts: number
  readonly firstDelay: Duration.DurationInput
  readonly maxDelay: Duration.DurationInput
}

/** Why a record was given up on. */
export interface GivenUp {
  /** Names only, never values. */
  readonly reason: string
  readonly attempts: number
}

export interface Options<TE> {
  readonly consumer: string
  readonly inbox: Context.Tag.Service<Inbox.Inbox>
  readonly transact: Transact<TE, never>
  readonly retry: Retry
  /** Headers that become annotations of logs, and headers of the messages that a handler appends. */
  readonly carriedHeaders: ReadonlyArray<string>
  /** Writes a dead letter; comes back when it is written, however long that takes. */
  readonly bury: (record: RawRecord, deadLetterTopic: string, why: GivenUp) => Effect.Effect<void>
}

/** An attempt that failed. */
class AttemptFailed extends Data.TaggedError("AttemptFailed")<{
  readonly retryable: boolean
  readonly reason: string
}> {}

const namePattern = /^[A-Za-z][A-Za-z0-9_]{0,63}$/

const nameIn = (value: object, property: string): string | undefined => {
  const name: unknown = Reflect.get(value, property)
  return typeof name === "string" && namePattern.test(name) ? name : undefined
}

/** What may be said of an error: its tag and reason are words of programs, its message could quote a person. */
const reasonOf = (error: unknown): string => {
  if (typeof error !== "object" || error === null) return "Unknown"
  const tag = nameIn(error, "_tag") ?? nameIn(error, "name") ?? "Unknown"
  const reason = nameIn(error, "reason")
  return reason === undefined ? tag : `${tag}: ${reason}`
}

const isRetryable = (error: unknown): boolean =>
  typeof error === "object" && error !== null && Reflect.get(error, "retryable") === true

const failedFrom = (cause: Cause.Cause<unknown>): AttemptFailed => {
  const error = Cause.squash(cause)
  return new AttemptFailed({ retryable: isRetryable(error), reason: reasonOf(error) })
}

const counters = {
  Applied: KafkaConsumerMetrics.applied,
  Duplicate: KafkaConsumerMetrics.duplicate,
  Stale: KafkaConsumerMetrics.stale
}

/** The guard is of one topic: topics that share keys come side by side, and none is to hide another's messages. */
const identityOf = ({ id, key, ordinal, sequence, topic }: Received<unknown>): Inbox.Identified => ({
  id,
  key: `${topic}:${key}`,
  sequence,
  ordinal
})

/** Runs a handler in the trace of its message, under annotations that tell which one it is. */
const inContextOf =
  ({ headers, id, source }: Received<unknown>, carriedHeaders: ReadonlyArray<string>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    const carried = MessageHeaders.carried(headers, carriedHeaders)
    return effect.pipe(
      MessageHeaders.locally(carried),
      Effect.withSpan("twinbox.kafka.consume", {
        kind: "consumer",
        ...Option.match(TraceContext.fromTraceparent(headers[TraceContext.header] ?? ""), {
          onNone: () => ({ root: true }),
          onSome: (parent) => ({ parent })
        }),
        attributes: { "messaging.destination.name": source.topic, "messaging.message.id": id },
        captureStackTrace: false
      }),
      Effect.annotateLogs({ ...carried, message_id: id })
    )
  }

/** Applies records of one topic. They are finished when it comes back, one way or another; it fails never. */
export type Apply = (records: ReadonlyArray<RawRecord>) => Effect.Effect<void>

/** What is done about the records of a topic. */
export const make = <TE>(
  options: Options<TE>,
  subscription: Subscription<Transaction.Transaction>
): Apply => {
  const { carriedHeaders, consumer, inbox, retry, transact } = options
  const { deadLetterTopic, kafkaTopic, prepare, topic } = subscription
  const who = { name: consumer, guard: Inbox.guardFor(topic) }
  const count = (metric: Metric.Metric.Counter<number>, times = 1) =>
    Metric.incrementBy(Metric.tagged(Metric.tagged(metric, "consumer", consumer), "topic", kafkaTopic), times)

  const bury = (record: RawRecord, why: GivenUp) =>
    options.bury(record, deadLetterTopic, why).pipe(
      Effect.zipRight(count(KafkaConsumerMetrics.dead)),
      Effect.zipRight(Effect.logWarning(`a record became a dead letter: ${why.reason}`)),
      Effect.annotateLogs({
        topic: record.topic,
        partition: record.partition,
        offset: String(record.offset)
      })
    )

  const once = ({ effect, received }: Prepared<Transaction.Transaction>) =>
    inbox.once(who, identityOf(received), inContextOf(received, carriedHeaders)(effect))

  /** In one transaction: all of them or none. Those of different keys side by side, so that round trips are shared. */
  const applyTogether = (prepared: ReadonlyArray<Prepared<Transaction.Transaction>>) =>
    transact(
      Effect.forEach(
        Object.values(Array.groupBy(prepared, ({ received }) => received.key)),
        (ofKey) => Effect.forEach(ofKey, once),
        { concurrency: "unbounded" }
      )
    ).pipe(
      Effect.flatMap((outcomes) =>
        Effect.forEach(outcomes.flat(), ({ _tag }) => count(counters[_tag]), { discard: true })
      ),
      Effect.catchAllCause((cause) => failedFrom(cause))
    )

  const schedule = Backoff.between(retry.firstDelay, retry.maxDelay)

  /** By itself, until it is applied or given up on. */
  const applyAlone = (record: RawRecord, prepared: Prepared<Transaction.Transaction>) =>
    Effect.suspend(() => {
      let attempts = 0
      let inVain = 0
      return applyTogether([prepared]).pipe(
        Effect.tapError(({ retryable }) =>
          Effect.sync(() => {
            attempts += 1
            if (!retryable) inVain += 1
          })
        ),
        Effect.tapError(() =>
          inVain < retry.maxAttempts ? count(KafkaConsumerMetrics.retried) : Effect.void
        ),
        Effect.retry({ schedule, while: () => inVain < retry.maxAttempts }),
        Effect.catchAll(({ reason }) => bury(record, { reason, attempts }))
      )
    })

  return (records) =>
    Effect.gen(function* () {
      yield* count(KafkaConsumerMetrics.consumed, records.length)
      const readable: Array<readonly [RawRecord, Prepared<Transaction.Transaction>]> = []
      for (const record of records) {
        const prepared = yield* Effect.either(prepare(record))
        if (Either.isRight(prepared)) readable.push([record, prepared.right])
        else yield* bury(record, { reason: prepared.left.message, attempts: 1 })
      }
      if (readable.length > 1) {
        const together = applyTogether(readable.map(([, prepared]) => prepared))
        if (Either.isRight(yield* Effect.either(together))) return
      }
      // One of them failed, and which is found out one by one: the others are not to suffer for it.
      for (const [record, prepared] of readable) yield* applyAlone(record, prepared)
    })
}
