import { randomUUID } from "node:crypto"
import { Admin } from "@platformatic/kafka"
import { KafkaCluster, KafkaSink } from "@twinbox/kafka"
import { Topic } from "@twinbox/outbox"
import { MessageFixture } from "@twinbox/testkit"
import { Effect } from "effect"
import { testKafka } from "../../../test/setup/testKafka.ts"

export const clusterOf = (brokers: string, options: Partial<KafkaCluster.Options> = {}) =>
  KafkaCluster.make({ brokers: brokers.split(","), requestTimeout: "5 seconds", ...options })

/** Lends a client of its own to look with or to change things. */
export const withAdmin = <A>(brokers: string, use: (admin: Admin) => Promise<A>): Effect.Effect<A> =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Admin({ clientId: "test", bootstrapBrokers: brokers.split(",") })),
    (admin) => Effect.promise(() => use(admin)),
    (admin) => Effect.promise(() => admin.close())
  )

export type SinkOptions = Omit<KafkaSink.Options<"anonymized">, "topics">

/** An ordered topic with a name of its own. */
export const makeTopic = (prefix: string) =>
  Topic.anonymized(`${prefix}${randomUUID().slice(0, 8)}`, MessageFixture.Payload)

/** A sink with one topic on the Kafka of a list of brokers. */
export const sinkAt = (brokers: string, prefix: string, options: SinkOptions = {}) =>
  Effect.gen(function* () {
    const topic = makeTopic(prefix)
    const sink = yield* KafkaSink.make({ topics: [topic], create: { partitions: 3 }, ...options })
    const make = (fields: MessageFixture.Fields) => MessageFixture.make({ topic: topic.name, ...fields })
    return { brokers, topic, sink, make }
  }).pipe(Effect.provideService(KafkaCluster.KafkaCluster, clusterOf(brokers)))

/** A sink with one topic on the Kafka of the run. */
export const testSink = (options?: SinkOptions) =>
  Effect.flatMap(testKafka, ({ brokers, prefix }) => sinkAt(brokers, prefix, options))
