import { Admin } from "@platformatic/kafka"
import { Backoff } from "@twinbox/outbox"
import { Effect, Schedule } from "effect"
import * as KafkaClient from "./KafkaClient.ts"
import { KafkaCluster } from "./KafkaCluster.ts"
import { fromClient, KafkaError } from "./KafkaError.ts"

/** How topics are made that are not there yet. */
export interface TopicSettings {
  /**
   * Default 8. A topic that is there keeps the number it has: with another one, keys would move to other partitions,
   * and their order with them.
   */
  readonly partitions?: number
  /** Copies of each partition. Default: what the brokers have as `default.replication.factor`. */
  readonly replicationFactor?: number
  /** Settings of the topics by Kafka's own names, `cleanup.policy` for example. */
  readonly configs?: Readonly<Record<string, string>>
}

export const defaultPartitions = 8

const brokersDecide = -1

/** https://kafka.apache.org/documentation/#brokerconfigs, and org.apache.kafka.common.internals.Topic. */
const namePattern = /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/

/** Whether a text can be the name of a topic in Kafka. */
export const isTopicName = (text: string): boolean => namePattern.test(text)

const attempt = <A>(brokers: string, use: () => Promise<A>): Effect.Effect<A, KafkaError> =>
  Effect.tryPromise({ try: use, catch: (error) => fromClient(error, brokers) })

const openAdmin = Effect.gen(function* () {
  const cluster = yield* KafkaCluster
  return yield* Effect.acquireRelease(
    Effect.sync(() => KafkaClient.guarded(new Admin(cluster.clientOptions()))),
    (admin) => KafkaClient.close(() => admin.close())
  )
})

const partitionsOf = (admin: Admin, topic: string, brokers: string) =>
  Effect.map(
    attempt(brokers, () => admin.metadata({ topics: [topic], forceUpdate: true })),
    (metadata) => metadata.topics.get(topic)?.partitionsCount ?? 0
  )

const create = (admin: Admin, topic: string, settings: TopicSettings, brokers: string) =>
  attempt(brokers, () =>
    admin.createTopics({
      topics: [topic],
      partitions: settings.partitions ?? defaultPartitions,
      replicas: settings.replicationFactor ?? brokersDecide,
      configs: Object.entries(settings.configs ?? {}).map(([name, value]) => ({ name, value }))
    })
  ).pipe(
    // Somebody else was faster.
    Effect.catchIf(
      ({ detail }) => detail === "TOPIC_ALREADY_EXISTS",
      () => Effect.void
    )
  )

/** Brokers learn of a new topic one after another. */
const untilKnown = Backoff.between("50 millis", "500 millis").pipe(Schedule.upTo("5 seconds"))

const ensureOne = (admin: Admin, topic: string, settings: TopicSettings, brokers: string) =>
  Effect.gen(function* () {
    const there = yield* partitionsOf(admin, topic, brokers).pipe(
      Effect.catchIf(
        ({ reason }) => reason === "UnknownTopic",
        () =>
          Effect.zipRight(
            create(admin, topic, settings, brokers),
            Effect.retry(partitionsOf(admin, topic, brokers), {
              while: ({ reason }) => reason === "UnknownTopic",
              schedule: untilKnown
            })
          )
      )
    )
    if (settings.partitions !== undefined && there !== settings.partitions) {
      yield* Effect.logWarning(
        `the topic '${topic}' of Kafka has ${there} partitions, not ${settings.partitions}: it keeps them, since keys would move to others`
      )
    }
  })

/** Makes the topics that are not there yet; what is there stays as it is. */
export const ensure = (
  topics: ReadonlyArray<string>,
  settings: TopicSettings
): Effect.Effect<void, KafkaError, KafkaCluster> =>
  Effect.gen(function* () {
    const { brokers } = yield* KafkaCluster
    const wrong = topics.find((topic) => !isTopicName(topic))
    if (wrong !== undefined) {
      return yield* new KafkaError({ reason: "InvalidTopic", brokers, detail: `'${wrong}'` })
    }
    const admin = yield* openAdmin
    yield* Effect.forEach(topics, (topic) => ensureOne(admin, topic, settings, brokers), { discard: true })
  }).pipe(Effect.scoped)
