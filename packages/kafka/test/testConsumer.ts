import { type KafkaCluster, KafkaConsumer, KafkaSink } from "@twinbox/kafka"
import { MongoDatabase, MongoInbox, MongoIndexes, Transaction } from "@twinbox/mongodb"
import { Inbox, Key, type Message, Topic, type Transaction as OutboxTransaction } from "@twinbox/outbox"
import { MessageFixture } from "@twinbox/testkit"
import { Duration, Effect, Metric, Schedule } from "effect"
import { testKafka } from "../../../test/setup/testKafka.ts"
import { testDatabase } from "../../mongodb/test/testDatabase.ts"
import { clusterOf, withAdmin } from "./testParts.ts"
import { KafkaCluster as ClusterTag } from "../src/KafkaCluster.ts"

export type Payload = typeof MessageFixture.Payload.Type
export type Received = KafkaConsumer.Received<Payload>
type Handler = (received: Received) => Effect.Effect<unknown, unknown, OutboxTransaction.Transaction>

/** What was applied of a key, in the order of the commits. */
interface Applied {
  readonly _id: string
  readonly sequences: ReadonlyArray<number>
}

/** A short session, of which a slow machine stays a member. */
export const swift = {
  sessionTimeout: "6 seconds",
  heartbeatInterval: "300 millis",
  commitEvery: "300 millis",
  lagEvery: "300 millis",
  drainWithin: "2 seconds",
  retry: { firstDelay: "20 millis", maxDelay: "200 millis" }
} as const

type Given = Partial<Omit<KafkaConsumer.Options<OutboxTransaction.Transaction, unknown, never>, "topics">>

export const key = (id: number | string): Key.Key => Key.make("session", String(id))

export const counted = (metric: Metric.Metric.Counter<number>, consumer: string, topic: string) =>
  Effect.map(
    Metric.value(Metric.tagged(Metric.tagged(metric, "consumer", consumer), "topic", topic)),
    ({ count }) => count
  )

/** Polls until something holds; the limit of the test ends it. */
export const eventually = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(holds, { until: (is) => is, schedule: Schedule.spaced("25 millis") })

/** A topic on the Kafka of the run, a sink that publishes to it, and a database to apply its messages in. */
export const world = (partitions = 4, topicOptions: Topic.Options = {}) =>
  Effect.flatMap(testKafka, ({ brokers, prefix }) => worldAt(brokers, prefix, partitions, topicOptions))

/** The same on another Kafka. */
export const worldAt = (
  brokers: string,
  prefix: string,
  partitions: number,
  topicOptions: Topic.Options = {}
) =>
  Effect.gen(function* () {
    const database = yield* testDatabase
    const inDatabase = Effect.provideService(MongoDatabase.MongoDatabase, database)
    yield* inDatabase(MongoInbox.ensure)
    yield* inDatabase(MongoIndexes.ensureCollections(["applied"]))
    const inbox = yield* inDatabase(MongoInbox.make())
    const applied = database.db.collection<Applied>("applied")
    const topic = Topic.anonymized(
      `${prefix}${crypto.randomUUID().slice(0, 8)}`,
      MessageFixture.Payload,
      topicOptions
    )
    yield* withAdmin(brokers, (admin) =>
      admin.createTopics({ topics: [topic.name], partitions, replicas: 1 })
    )
    const group = `group-${crypto.randomUUID().slice(0, 8)}`

    const publishAt = (at: KafkaCluster.KafkaCluster["Type"]) =>
      Effect.map(
        Effect.provideService(KafkaSink.make({ topics: [topic], create: false }), ClusterTag, at),
        (sink) => (messages: ReadonlyArray<Message.Message>) =>
          Effect.flatMap(sink.deliver(messages), (rejections) =>
            rejections.length === 0 ? Effect.void : Effect.die(rejections)
          )
      )
    const publish = yield* publishAt(clusterOf(brokers))

    const message = (id: number | string, sequence: number, fields: MessageFixture.Fields = {}) =>
      MessageFixture.make({ topic: topic.name, key: key(id), sequence, ...fields })

    /** Appends the sequence to what was applied of the key. */
    const append: Handler = ({ key, sequence }) =>
      Transaction.use((session) =>
        applied.updateOne({ _id: key }, { $push: { sequences: sequence } }, { session, upsert: true })
      )

    const make = (
      given: Given & {
        readonly handler?: Handler
        readonly cluster?: KafkaCluster.KafkaCluster["Type"]
        readonly subscribe?: Partial<KafkaConsumer.SubscribeOptions<Payload, unknown, never>>
      } = {}
    ) => {
      const { cluster = clusterOf(brokers), handler = append, subscribe = {}, ...options } = given
      return KafkaConsumer.make({
        ...swift,
        group,
        transact: (body) => inDatabase(Transaction.run(body)),
        ...options,
        topics: [KafkaConsumer.subscribe(topic, { ...subscribe, handler })]
      }).pipe(Effect.provideService(ClusterTag, cluster), Effect.provideService(Inbox.Inbox, inbox))
    }

    /** Runs a consumer until the end of the scope. */
    const start = (given: Parameters<typeof make>[0] = {}) =>
      Effect.tap(make(given), ({ run }) => Effect.forkScoped(run))

    /** What was applied, by key. */
    const state = Effect.promise(async () => {
      const found = await applied.find().toArray()
      return new Map(found.map(({ _id, sequences }) => [_id, sequences]))
    })
    const count = Effect.map(state, (byKey) =>
      [...byKey.values()].reduce((sum, { length }) => sum + length, 0)
    )
    const appliedAll = (expected: number) =>
      eventually(Effect.map(count, (found) => found >= expected)).pipe(
        Effect.timeoutFail({
          duration: Duration.seconds(50),
          onTimeout: () => new Error(`not all of ${expected} were applied`)
        })
      )

    return {
      brokers,
      prefix,
      database,
      inbox,
      topic,
      group,
      publish,
      publishAt,
      message,
      append,
      make,
      start,
      state,
      count,
      appliedAll,
      applied
    }
  })

/** Rising sequences of so many keys, one after the other. */
export const rounds = (
  keys: number,
  sequences: number,
  message: (id: number, sequence: number) => Message.Message
): ReadonlyArray<Message.Message> =>
  Array.from({ length: sequences }, (_, round) =>
    Array.from({ length: keys }, (_, id) => message(id, round + 1))
  ).flat()

/** What a state should be after `rounds`. */
export const inOrder = (keys: number, sequences: number) =>
  new Map(
    Array.from({ length: keys }, (_, id) => [key(id), Array.from({ length: sequences }, (_, at) => at + 1)])
  )
