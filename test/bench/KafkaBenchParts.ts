import { Consumer, Producer, ProduceAcks, stringSerializers } from "@platformatic/kafka"
import { KafkaCluster, KafkaSink, KafkaTopics } from "@twinbox/kafka"
import { KafkaServer } from "@twinbox/services"
import { Effect, Option } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"

/** A Kafka of the bench's own. */
export const startKafka = Effect.flatMap(KafkaServer.config({}), (options) =>
  KafkaServer.start({ ...options, uri: Option.none() })
)

/** A sink into a topic of this name, which is made. */
export const makeSink = (brokers: string, kafkaTopic: string) =>
  KafkaSink.make({ topics: [BenchCustomer.topic], topicName: () => kafkaTopic }).pipe(
    Effect.provide(KafkaCluster.layer({ brokers: [brokers] }))
  )

/** A message as the driver of MongoDB gives it. */
export interface OutboxDocument {
  readonly _id: string
  readonly topic: string
  readonly key: string
  readonly sequence: number
  readonly ordinal: number
  readonly payload: string
  readonly headers: Readonly<Record<string, string>>
  readonly createdAt: Date
}

/** The same record as the sink makes. */
const recordOf = (kafkaTopic: string, message: OutboxDocument) => ({
  topic: kafkaTopic,
  key: message.key,
  value: message.payload,
  headers: {
    ce_specversion: "1.0",
    ce_source: "/twinbox",
    "content-type": "application/json",
    ce_id: message._id,
    ce_type: message.topic,
    ce_time: message.createdAt.toISOString(),
    ce_subject: message.key,
    ce_sequence: `${String(message.sequence).padStart(16, "0")}.${String(message.ordinal).padStart(6, "0")}`,
    ...message.headers
  }
})

/** Sends messages as everybody does it first, into a topic of this name, which is made. */
export const makeSender = (brokers: string, kafkaTopic: string) =>
  Effect.gen(function* () {
    yield* Effect.provide(KafkaTopics.ensure([kafkaTopic], {}), KafkaCluster.layer({ brokers: [brokers] }))
    const producer = yield* Effect.acquireRelease(
      Effect.sync(
        () => new Producer({ clientId: "hand", bootstrapBrokers: [brokers], serializers: stringSerializers })
      ),
      (open) => Effect.promise(() => open.close())
    )
    yield* Effect.promise(() => producer.metadata({ topics: [kafkaTopic] }))
    return (messages: ReadonlyArray<OutboxDocument>) =>
      producer.send({
        acks: ProduceAcks.ALL,
        messages: messages.map((message) => recordOf(kafkaTopic, message))
      })
  })

/** How many records a topic has. */
export const countRecords = (brokers: string, kafkaTopic: string) =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Consumer({ clientId: "count", groupId: "count", bootstrapBrokers: [brokers] })),
    (consumer) =>
      Effect.promise(async () => {
        const ends = (await consumer.listOffsets({ topics: [kafkaTopic] })).get(kafkaTopic) ?? []
        return ends.reduce((sum, end) => sum + Number(end), 0)
      }),
    (consumer) => Effect.promise(() => consumer.close())
  )
