import { Backoff, Inbox, MessageHeaders, type Transaction } from "@twinbox/outbox"
import { type Context, Duration, Effect } from "effect"
import { KafkaCluster } from "./KafkaCluster.ts"
import * as KafkaConsumerApply from "./KafkaConsumerApply.ts"
import type { Assignment, From } from "./KafkaConsumerAssignment.ts"
import * as KafkaConsumerDeadLetters from "./KafkaConsumerDeadLetters.ts"
import * as KafkaConsumerSession from "./KafkaConsumerSession.ts"
import type { Subscription } from "./KafkaConsumerSubscription.ts"
import type { KafkaError } from "./KafkaError.ts"
import * as KafkaTopics from "./KafkaTopics.ts"

export { type Retry, type Transact } from "./KafkaConsumerApply.ts"
export { type From } from "./KafkaConsumerAssignment.ts"
export { header as deadLetterHeader } from "./KafkaConsumerDeadLetters.ts"
export { type Deserializer, json, type Received, type Upcast, type Upcasts } from "./KafkaConsumerRecord.ts"
export { subscribe, type SubscribeOptions, type Subscription } from "./KafkaConsumerSubscription.ts"

export interface Options<R, TE, TR> {
  /** Consumers of a group share the partitions of its topics; each group gets all messages. */
  readonly group: string
  /**
   * The name under which the inbox notes what has been applied. It stays the same over restarts, and all of a group
   * have the same: letters, digits, `-` and `_`, 64 at most. Default: the group.
   */
  readonly consumer?: string
  /** What `subscribe` makes. At least one, of different topics in Kafka. */
  readonly topics: ReadonlyArray<Subscription<R>>
  /** Runs an effect in a transaction of the inbox's database: `(body) => Transaction.run(body)` of MongoDB's adapter. */
  readonly transact: KafkaConsumerApply.Transact<TE, TR>
  /** Default: 5 attempts; pauses of 100 ms, 200 ms, ..., 30 s at most. */
  readonly retry?: Partial<KafkaConsumerApply.Retry>
  /** How topics for dead letters are made that are not there; `false`: they are not. Default 1 partition. */
  readonly createDeadLetterTopics?: KafkaTopics.TopicSettings | false
  /** Where to begin where the group has no offset, or one that the broker has deleted. Default `earliest`. */
  readonly from?: From
  /**
   * Keys of one partition that are worked on at once. Those of different partitions always are, those of one key
   * never. Default 1: a partition's records strictly in their order.
   */
  readonly keysAtOnce?: number
  /**
   * Records of one partition that share a transaction, at most. When it fails they are applied one by one. Default 1;
   * more take more per second, and hold locks for longer.
   */
  readonly recordsPerTransaction?: number
  /** No more of a partition is fetched while so many of its records are held. Default 1,000. */
  readonly maxRecordsPerPartition?: number
  /** The same in bytes. Default 4 MiB; one fetch of `maxBytesPerFetch` can come on top. */
  readonly maxBytesPerPartition?: number
  /** Bytes of one partition in one fetch; what a producer sent together is fetched together. Default 256 KiB. */
  readonly maxBytesPerFetch?: number
  /** Default 1 second. What was applied after the last commit comes again after a crash, as duplicates. */
  readonly commitEvery?: Duration.DurationInput
  /** Default 5 seconds. */
  readonly lagEvery?: Duration.DurationInput
  /**
   * How long a consumer may be silent before the others get its partitions. Brokers take 6 seconds to 30 minutes.
   * Default 20 seconds.
   */
  readonly sessionTimeout?: Duration.DurationInput
  /** How often it shows that it is there, and learns of a rebalance. Default 2 seconds. */
  readonly heartbeatInterval?: Duration.DurationInput
  /** How long records under way are waited for when their partition goes to another. Default 3 seconds. */
  readonly drainWithin?: Duration.DurationInput
  /** How long a stop waits for records under way. Default 10 seconds. */
  readonly stopWithin?: Duration.DurationInput
  /**
   * Headers that are carried on: annotations of all log lines of a handler, and headers of the messages that it
   * appends. Default `request_id` and `session_id`. They are in the clear: never personal data.
   */
  readonly carriedHeaders?: ReadonlyArray<string>
}

export interface PartitionStatus {
  /** Name in Kafka. */
  readonly topic: string
  readonly partition: number
  /** All before this offset is done. */
  readonly finished: bigint
  /** The offset that the group knows. */
  readonly committed: bigint
  /** Records between `finished` and the end, as far as this consumer knows. */
  readonly lag: number
  /** Records held in memory. */
  readonly held: number
  /** Whether it holds so many that nothing more is fetched. */
  readonly isPaused: boolean
}

export interface Status {
  /** Whether it has its part of the group, which may be nothing. */
  readonly isMember: boolean
  readonly partitions: ReadonlyArray<PartitionStatus>
}

/** Applies the messages of topics once each, in order per key. */
export interface KafkaConsumer {
  /**
   * Works until interrupted, then finishes what is under way, commits and leaves the group. When Kafka or the database
   * go away it goes on by itself when they are back. Fails on what trying again does not mend. Once at a time.
   */
  readonly run: Effect.Effect<never, KafkaError>
  readonly status: Effect.Effect<Status>
  /** Whether it is a member of its group, and brokers have answered within `sessionTimeout`. */
  readonly ready: Effect.Effect<boolean>
}

const defaults = {
  from: "earliest" as const,
  keysAtOnce: 1,
  recordsPerTransaction: 1,
  maxRecordsPerPartition: 1_000,
  maxBytesPerPartition: 4 * 1024 * 1024,
  maxBytesPerFetch: 256 * 1024,
  commitEvery: Duration.seconds(1),
  lagEvery: Duration.seconds(5),
  sessionTimeout: Duration.seconds(20),
  heartbeatInterval: Duration.seconds(2),
  drainWithin: Duration.seconds(3),
  stopWithin: Duration.seconds(10),
  createDeadLetterTopics: { partitions: 1 },
  carriedHeaders: MessageHeaders.carriedByDefault
}

const defaultRetry: KafkaConsumerApply.Retry = {
  maxAttempts: 5,
  firstDelay: Duration.millis(100),
  maxDelay: Duration.seconds(30)
}

/** All brokers together, however many partitions they lead. */
const maxBytesOfAnswer = 16 * 1024 * 1024

/** Between two memberships of one consumer. */
const rejoin = Backoff.between("200 millis", "5 seconds")

const isOver = (error: KafkaError): boolean => error.reason === "AuthenticationFailed"

const checkTopics = (topics: ReadonlyArray<Omit<Subscription<never>, "prepare">>) => {
  const names = topics.map(({ kafkaTopic }) => kafkaTopic)
  if (names.length === 0) return Effect.dieMessage("a consumer needs at least one topic")
  if (new Set(names).size < names.length) return Effect.dieMessage("two topics have the same name in Kafka")
  const wrong = topics
    .flatMap(({ deadLetterTopic, kafkaTopic }) => [kafkaTopic, deadLetterTopic])
    .find((name) => !KafkaTopics.isTopicName(name))
  return wrong === undefined ? Effect.void : Effect.dieMessage(`'${wrong}' cannot be the name of a topic`)
}

const statusOf = (assignment: Assignment | undefined): ReadonlyArray<PartitionStatus> =>
  [...(assignment?.partitions.values() ?? [])].map((one) => ({
    topic: one.topic,
    partition: one.partition,
    finished: one.finished,
    committed: one.committed,
    lag: one.lag,
    held: one.records,
    isPaused: one.isPaused
  }))

/** A subscription whose handler has all that it needs, but for the transaction. */
const provided = <R>(
  subscription: Subscription<R>,
  context: Context.Context<Exclude<R, Transaction.Transaction>>
): Subscription<Transaction.Transaction> => ({
  ...subscription,
  prepare: (record) =>
    Effect.map(subscription.prepare(record), ({ effect, received }) => ({
      received,
      effect: Effect.provide(effect, context) as Effect.Effect<unknown, unknown, Transaction.Transaction>
    }))
})

/** A consumer of the group. It does nothing until its `run` is run. */
export const make = <R, TE, TR>(
  given: Options<R, TE, TR>
): Effect.Effect<
  KafkaConsumer,
  never,
  KafkaCluster | Inbox.Inbox | Exclude<R, Transaction.Transaction> | TR
> =>
  Effect.gen(function* () {
    yield* checkTopics(given.topics)
    const cluster = yield* KafkaCluster
    const inbox = yield* Inbox.Inbox
    const context = yield* Effect.context<Exclude<R, Transaction.Transaction> | TR>()
    const options = { ...defaults, ...given, consumer: given.consumer ?? given.group }
    const { carriedHeaders, consumer, group, topics } = options
    const sessionTimeout = Duration.decode(options.sessionTimeout)
    const transact: KafkaConsumerApply.Transact<TE, never> = (body) =>
      Effect.provide(options.transact(body), context)

    let assignment: Assignment | undefined
    let isMember = false
    let lastFetch = -Infinity
    const pulse: KafkaConsumerSession.Pulse = {
      opened: (opened) => (assignment = opened),
      joined: () => (isMember = true),
      fetched: () => (lastFetch = performance.now()),
      closed: () => {
        assignment = undefined
        isMember = false
      }
    }

    const settingsWith = (bury: KafkaConsumerDeadLetters.Bury): KafkaConsumerSession.Settings => {
      const retry = { ...defaultRetry, ...options.retry }
      const applying = { consumer, inbox, transact, retry, carriedHeaders, bury }
      const applies = new Map(
        topics.map((one) => [one.kafkaTopic, KafkaConsumerApply.make(applying, provided(one, context))])
      )
      return {
        ...options,
        consumer,
        topics: [...applies.keys()],
        sessionTimeout,
        heartbeatInterval: Duration.decode(options.heartbeatInterval),
        limits: {
          maxRecords: options.maxRecordsPerPartition,
          maxBytes: options.maxBytesPerPartition,
          keysAtOnce: options.keysAtOnce,
          recordsPerTransaction: options.recordsPerTransaction
        },
        fetch: { maxBytesPerPartition: options.maxBytesPerFetch, maxBytesPerFetch: maxBytesOfAnswer },
        // The group gives out partitions of the topics that are asked for, and no others.
        applyOf: (topic) => applies.get(topic) ?? (() => Effect.dieMessage(`no topic '${topic}'`))
      }
    }

    const run = Effect.gen(function* () {
      const { createDeadLetterTopics: create } = options
      const bury = yield* KafkaConsumerDeadLetters.make({ consumer, create })
      return yield* KafkaConsumerSession.serve(settingsWith(bury), pulse).pipe(
        Effect.tapError((error) =>
          Effect.logWarning(`the group '${group}' is joined again: ${error.message}`)
        ),
        Effect.retry({ schedule: rejoin, while: (error) => !isOver(error) })
      )
    }).pipe(Effect.scoped, Effect.annotateLogs({ consumer }), Effect.provideService(KafkaCluster, cluster))

    return {
      run,
      status: Effect.sync(() => ({ isMember, partitions: statusOf(assignment) })),
      ready: Effect.sync(() => isMember && performance.now() - lastFetch < Duration.toMillis(sessionTimeout))
    }
  })
