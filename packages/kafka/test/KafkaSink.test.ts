import { ConfigResourceTypes } from "@platformatic/kafka"
import { CloudEvent as KafkaCloudEvent, KafkaCluster, KafkaSink } from "@twinbox/kafka"
import { describe, expect, it } from "@effect/vitest"
import { Key, type Message, Topic } from "@twinbox/outbox"
import { MessageFixture } from "@twinbox/testkit"
import { CloudEvent, Kafka } from "cloudevents"
import { Duration, Effect, Fiber, Option } from "effect"
import { describeKafka, testKafka } from "../../../test/setup/testKafka.ts"
import { clusterOf, makeTopic, testSink, withAdmin } from "./testParts.ts"
import { placeOf, readTopic } from "./topicReader.ts"

const customer = (id: number | string) => Key.make("customer", String(id))
const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
const text = (length: number) => JSON.stringify({ revision: 1, text: "x".repeat(length) })

const idsOf = (messages: ReadonlyArray<Message.Message>) => messages.map(({ id }) => id)

/** Partitions of `customer/<id>` among five, told by Kafka's own `Utils.toPositive(Utils.murmur2(key)) % 5`. */
const javaPartitions = new Map([
  [0, 1],
  [3, 2],
  [6, 4],
  [9, 3],
  [15, 4],
  [18, 0],
  [24, 0],
  [30, 2],
  [33, 4],
  [36, 1]
])

describeKafka("a record", () => {
  it.scopedLive("is a CloudEvent that the official SDK reads", () =>
    Effect.gen(function* () {
      const { brokers, make, sink, topic } = yield* testSink({
        source: "/shop",
        typeOf: (name) => `shop.${name.length}`
      })
      const message = make({
        key: customer("ä/1"),
        sequence: 42,
        ordinal: 3,
        payload: '{"revision":42,"text":"Zoë"}',
        headers: { "schema-version": "2", traceparent, request_id: "r-1" }
      })
      yield* sink.deliver([message])
      const [record] = yield* readTopic(brokers, topic.name)
      const event = Kafka.toEvent({
        key: record?.key ?? "",
        value: record?.value ?? "",
        headers: { ...record?.headers }
      } as never) as CloudEvent<unknown>
      expect(event).toBeInstanceOf(CloudEvent)
      expect(event.validate()).toBe(true)
      expect(event).toMatchObject({
        id: message.id,
        specversion: "1.0",
        source: "/shop",
        type: `shop.${topic.name.length}`,
        subject: "customer/ä/1",
        time: new Date(message.createdAt).toISOString(),
        datacontenttype: "application/json",
        sequence: "0000000000000042.000003",
        traceparent,
        partitionkey: "customer/ä/1",
        data: { revision: 42, text: "Zoë" }
      })
      expect(record?.headers).toMatchObject({ traceparent, "schema-version": "2", request_id: "r-1" })
    })
  )

  it.scopedLive("cannot have its CloudEvent changed by headers of the message", () =>
    Effect.gen(function* () {
      const { brokers, make, sink, topic } = yield* testSink()
      const message = make({ headers: { ce_id: "another", CE_TYPE: "another", "Content-Type": "text/html" } })
      yield* sink.deliver([message])
      const [record] = yield* readTopic(brokers, topic.name)
      expect(record?.headers).toMatchObject({ ce_id: message.id, "content-type": "application/json" })
      expect(Object.keys(record?.headers ?? {})).not.toContain("CE_TYPE")
    })
  )

  it.scopedLive("of a delete has no value, or the JSON text null where tombstones are not wanted", () =>
    Effect.gen(function* () {
      const tombs = yield* testSink()
      yield* tombs.sink.deliver([tombs.make({ payload: null })])
      expect((yield* readTopic(tombs.brokers, tombs.topic.name))[0]?.value).toBe(null)
      const texts = yield* testSink({ tombstones: false })
      yield* texts.sink.deliver([texts.make({ payload: null })])
      expect((yield* readTopic(texts.brokers, texts.topic.name))[0]?.value).toBe("null")
    })
  )

  it.scopedLive("has the value and media type of the serializer, and goes through every compression", () =>
    Effect.gen(function* () {
      for (const compression of ["gzip", "zstd"] as const) {
        const { brokers, make, sink, topic } = yield* testSink({
          compression,
          serializer: {
            contentType: "text/x-reverse",
            serialize: ({ id }) => new TextEncoder().encode(`~${id}`)
          }
        })
        const message = make({})
        yield* sink.deliver([message])
        const [record] = yield* readTopic(brokers, topic.name)
        expect([record?.value, record?.headers["content-type"]]).toEqual([`~${message.id}`, "text/x-reverse"])
      }
    })
  )

  it.scopedLive("goes to the partition that Java's clients pick, all of a key to one, in order", () =>
    Effect.gen(function* () {
      const { brokers, make, sink, topic } = yield* testSink({ create: { partitions: 5 } })
      const keys = Array.from({ length: 40 }, (_, id) => customer(id))
      for (const sequence of [1, 2, 3]) yield* sink.deliver(keys.map((key) => make({ key, sequence })))
      const records = yield* readTopic(brokers, topic.name)
      for (const key of keys) {
        const own = records.filter((record) => record.key === key)
        expect(new Set(own.map(({ partition }) => partition)).size).toBe(1)
        expect(own.map((record) => placeOf(record).sequence)).toEqual([1, 2, 3])
      }
      const partitions = new Map(
        [...javaPartitions.keys()].map((id) => [
          id,
          records.find(({ key }) => key === customer(id))?.partition
        ])
      )
      expect(partitions).toEqual(javaPartitions)
    })
  )
})

describeKafka("what Kafka does not take", () => {
  it.scopedLive("is a dead letter when it is too large, and harms no other message of the batch", () =>
    Effect.gen(function* () {
      const { brokers, make, sink, topic } = yield* testSink({ maxBatchBytes: 10_000 })
      const batch = [
        make({ key: customer(1), sequence: 1 }),
        make({ key: customer(2), sequence: 1, payload: text(20_000) }),
        make({ key: customer(2), sequence: 2 }),
        make({ key: customer(3), sequence: 1, payload: text(8_000) }),
        make({ key: customer(1), sequence: 2 })
      ]
      const rejections = yield* sink.deliver(batch)
      expect(rejections).toEqual([
        { messageId: batch[1]?.id, reason: "TooLarge", error: expect.any(String), retryable: false }
      ])
      expect(rejections[0]?.error).not.toContain("xxx")
      const records = yield* readTopic(brokers, topic.name)
      expect(records.map(({ headers }) => headers["ce_id"]).toSorted()).toEqual(
        idsOf([batch[0], batch[3], batch[4]] as Array<Message.Message>).toSorted()
      )
    })
  )

  it.scopedLive(
    "is found in a batch that the topic refuses as a whole; what follows it of its key waits",
    () =>
      Effect.gen(function* () {
        // The topic takes less than the sink knows of.
        const { brokers, make, sink, topic } = yield* testSink({
          create: { partitions: 2, configs: { "max.message.bytes": "5000" } }
        })
        const batch = Array.from({ length: 30 }, (_, at) =>
          make({
            key: customer(at % 3),
            sequence: 1 + Math.floor(at / 3),
            payload: at === 13 ? text(6_000) : text(300)
          })
        )
        const refused = batch[13] as Message.Message
        const rejections = yield* sink.deliver(batch)
        expect(rejections.map(({ messageId, reason, retryable }) => [messageId, reason, retryable])).toEqual([
          [refused.id, "TooLarge", false]
        ])
        const records = yield* readTopic(brokers, topic.name)
        for (const id of [0, 1, 2]) {
          const sequences = records.filter(({ key }) => key === customer(id)).map((r) => placeOf(r).sequence)
          const first = [...new Set(sequences)]
          expect(first).toEqual(id === 1 ? [1, 2, 3, 4] : Array.from({ length: 10 }, (_, at) => at + 1))
        }
      })
  )

  it.scopedLive("of an unordered topic does not hold up what has the same key", () =>
    Effect.gen(function* () {
      const { brokers, prefix } = yield* testKafka
      const topic = Topic.anonymized(`${prefix}unordered`, MessageFixture.Payload, { ordered: false })
      const sink = yield* KafkaSink.make({ topics: [topic], maxBatchBytes: 10_000 }).pipe(
        Effect.provideService(KafkaCluster.KafkaCluster, clusterOf(brokers))
      )
      const [large, small] = [
        MessageFixture.make({ topic: topic.name, sequence: 1, payload: text(20_000) }),
        MessageFixture.make({ topic: topic.name, sequence: 2 })
      ]
      expect((yield* sink.deliver([large, small])).map(({ messageId }) => messageId)).toEqual([large.id])
      const records = yield* readTopic(brokers, topic.name)
      expect(records.map(({ headers }) => headers["ce_id"])).toEqual([small.id])
    })
  )

  it.scopedLive("batches that are more than one request takes go in several, in order", () =>
    Effect.gen(function* () {
      const { brokers, make, sink, topic } = yield* testSink({ maxBatchBytes: 10_000 })
      const batch = Array.from({ length: 60 }, (_, at) =>
        make({ key: customer(at % 2), sequence: at + 1, payload: text(1_500) })
      )
      expect(yield* sink.deliver(batch)).toEqual([])
      const records = yield* readTopic(brokers, topic.name)
      for (const id of [0, 1]) {
        const sequences = records.filter(({ key }) => key === customer(id)).map((r) => placeOf(r).sequence)
        expect(sequences).toEqual(sequences.toSorted((a, b) => a - b))
        expect(sequences).toHaveLength(30)
      }
    })
  )
})

/** One partition each: one topic that takes what it is given, one that may not. */
const twoTopics = Effect.gen(function* () {
  const { brokers, prefix } = yield* testKafka
  const [good, bad] = [makeTopic(prefix), makeTopic(prefix)]
  const sink = yield* KafkaSink.make({ topics: [good, bad], create: { partitions: 1 } }).pipe(
    Effect.provideService(KafkaCluster.KafkaCluster, clusterOf(brokers))
  )
  const messages = (sequence: number) =>
    [good, bad].map(({ name }) => MessageFixture.make({ topic: name, key: customer(1), sequence }))
  const sequencesIn = (topic: { readonly name: string }) =>
    Effect.map(readTopic(brokers, topic.name), (records) => records.map((one) => placeOf(one).sequence))
  return { brokers, good, bad, sink, messages, sequencesIn }
})

const remove = (brokers: string, topic: string) =>
  withAdmin(brokers, (admin) => admin.deleteTopics({ topics: [topic] }))

const create = (brokers: string, topic: string) =>
  withAdmin(brokers, (admin) => admin.createTopics({ topics: [topic], partitions: 1 }))

describeKafka("when a partition does not take its part", () => {
  it.scopedLive("only that part is sent again, until it is taken", () =>
    Effect.gen(function* () {
      const { bad, brokers, good, messages, sequencesIn, sink } = yield* twoTopics
      yield* remove(brokers, bad.name)
      const delivering = yield* Effect.fork(sink.deliver([...messages(1), ...messages(2)]))
      yield* sequencesIn(good).pipe(Effect.repeat({ until: (sequences) => sequences.length > 0 }))
      yield* create(brokers, bad.name)
      expect(yield* Fiber.join(delivering)).toEqual([])
      expect([yield* sequencesIn(good), yield* sequencesIn(bad)]).toEqual([
        [1, 2],
        [1, 2]
      ])
    })
  )

  it.scopedLive("for long, the sink says so, and all is well when the relay sends it again", () =>
    Effect.gen(function* () {
      const { bad, brokers, good, messages, sequencesIn, sink } = yield* twoTopics
      yield* sink.deliver(messages(1))
      yield* remove(brokers, bad.name)
      const error = yield* Effect.flip(sink.deliver(messages(2)))
      expect(error).toMatchObject({ reason: "NotReady", retryable: true, cause: { reason: "UnknownTopic" } })
      yield* create(brokers, bad.name)
      expect(yield* sink.deliver(messages(2))).toEqual([])
      expect([yield* sequencesIn(good), yield* sequencesIn(bad)]).toEqual([[1, 2, 2], [2]])
    })
  )
})

describeKafka("topics", () => {
  it.scopedLive(
    "are made with the partitions and settings asked for, and left as they are when they are there",
    () =>
      Effect.gen(function* () {
        const { brokers, prefix } = yield* testKafka
        const topic = makeTopic(prefix)
        const make = (partitions: number) =>
          KafkaSink.make({
            topics: [topic],
            topicName: (name) => `${name}.v1`,
            create: { partitions, configs: { "cleanup.policy": "compact" } }
          }).pipe(Effect.provideService(KafkaCluster.KafkaCluster, clusterOf(brokers)))
        const partitionsNow = withAdmin(brokers, async (admin) => {
          const name = `${topic.name}.v1`
          return (await admin.metadata({ topics: [name] })).topics.get(name)?.partitionsCount
        })
        yield* make(4)
        expect(yield* partitionsNow).toBe(4)
        for (const partitions of [2, 6]) {
          const sink = yield* make(partitions)
          expect(yield* partitionsNow).toBe(4)
          expect(yield* sink.deliver([MessageFixture.make({ topic: topic.name })])).toEqual([])
        }
        const { configs } = (yield* withAdmin(brokers, (admin) =>
          admin.describeConfigs({
            resources: [
              {
                resourceType: ConfigResourceTypes.TOPIC,
                resourceName: `${topic.name}.v1`,
                configurationKeys: ["cleanup.policy"]
              }
            ]
          })
        ))[0] ?? { configs: [] }
        expect(configs.map(({ value }) => value)).toEqual(["compact"])
      })
  )

  it.scopedLive("that cannot be are an error at the start", () =>
    Effect.gen(function* () {
      const { brokers } = yield* testKafka
      const error = yield* KafkaSink.make({ topics: [makeTopic("no such/")] }).pipe(
        Effect.provideService(KafkaCluster.KafkaCluster, clusterOf(brokers)),
        Effect.flip
      )
      expect([error.reason, error.retryable]).toEqual(["InvalidTopic", false])
      const replicas = yield* KafkaSink.make({
        topics: [makeTopic("replicated")],
        create: { replicationFactor: 3 }
      }).pipe(Effect.provideService(KafkaCluster.KafkaCluster, clusterOf(brokers)), Effect.flip)
      expect([replicas.reason, replicas.detail]).toEqual(["InvalidTopic", "INVALID_REPLICATION_FACTOR"])
    })
  )

  it.scopedLive("that nobody may make and that are missing are waited for, then an error", () =>
    Effect.gen(function* () {
      const { brokers, prefix } = yield* testKafka
      const error = yield* KafkaSink.make({
        topics: [makeTopic(prefix)],
        create: false,
        connectWithin: "300 millis"
      }).pipe(Effect.provideService(KafkaCluster.KafkaCluster, clusterOf(brokers)), Effect.flip)
      expect(error.reason).toBe("UnknownTopic")
    })
  )
})

describe("a Kafka that is not there", () => {
  it.scopedLive("is waited for, then an error that says so without credentials", () =>
    Effect.gen(function* () {
      const make = KafkaSink.make({ topics: [makeTopic("away")], connectWithin: "500 millis" }).pipe(
        Effect.provideService(KafkaCluster.KafkaCluster, clusterOf("127.0.0.1:1"))
      )
      const [took, error] = yield* Effect.timed(Effect.flip(make))
      expect(error).toMatchObject({ reason: "Unavailable", retryable: true, detail: "ECONNREFUSED" })
      expect(error.message).toBe("Kafka at 127.0.0.1:1 does not answer (ECONNREFUSED)")
      expect(Duration.toMillis(took)).toBeGreaterThan(400)
    })
  )
})

describe("ce_sequence", () => {
  it("sorts as text like the numbers, and is read again", () => {
    const places = [
      { sequence: 0, ordinal: 0 },
      { sequence: 9, ordinal: 10 },
      { sequence: 10, ordinal: 2 },
      { sequence: 10, ordinal: 10 },
      { sequence: Number.MAX_SAFE_INTEGER, ordinal: 0 }
    ]
    const texts = places.map(KafkaCloudEvent.sequenceText)
    expect(texts.toSorted()).toEqual(texts)
    expect(texts.map(KafkaCloudEvent.parseSequence)).toEqual(places.map(Option.some))
    for (const wrong of ["", "1", "1.", "-1.0", "9999999999999999.0", "1.0.0", "a.b"]) {
      expect(KafkaCloudEvent.parseSequence(wrong)).toEqual(Option.none())
    }
  })
})
