import { expect, it } from "@effect/vitest"
import { KafkaCluster, KafkaConsumer, KafkaSink } from "@twinbox/kafka"
import { MongoDatabase, Transaction } from "@twinbox/mongodb"
import { Inbox, MessageHeaders, Topic } from "@twinbox/outbox"
import { Data, Deferred, Effect, Fiber, Logger, Metric, Option, Schema, Tracer } from "effect"
import { describeKafka } from "../../../test/setup/testKafka.ts"
import * as KafkaConsumerMetrics from "../src/KafkaConsumerMetrics.ts"
import { counted, eventually, inOrder, key, type Payload, rounds, swift, world } from "./testConsumer.ts"
import { clusterOf, withAdmin } from "./testParts.ts"
import { readTopic } from "./topicReader.ts"

/** As databases have them, with what must not be told. */
class Away extends Data.TaggedError("Away")<{ readonly reason: string }> {
  readonly retryable = true
}
class Broken extends Data.TaggedError("Broken")<{ readonly reason: string; readonly email: string }> {
  override get message() {
    return `cannot handle ${this.email}`
  }
}
const broken = new Broken({ reason: "Impossible", email: "ada@example.org" })

const chunks = <A>(values: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(values.length / size) }, (_, at) => values.slice(at * size, (at + 1) * size))

describeKafka("a consumer", () => {
  it.scopedLive("applies each message once, those of a key in order, and tells the group how far it is", () =>
    Effect.gen(function* () {
      const { appliedAll, group, message, publish, start, state, topic } = yield* world()
      const messages = rounds(20, 10, message)
      yield* publish(messages)
      const consumer = yield* start()
      yield* appliedAll(200)
      yield* publish(messages)
      yield* eventually(
        Effect.map(consumer.status, ({ partitions }) => {
          const total = partitions.reduce((sum, { committed }) => sum + Number(committed), 0)
          return partitions.length === 4 && total === 400 && partitions.every(({ lag }) => lag === 0)
        })
      )
      expect(yield* state).toEqual(inOrder(20, 10))
      expect(yield* consumer.ready).toBe(true)
      expect(yield* counted(KafkaConsumerMetrics.consumed, group, topic.name)).toBe(400)
      expect(yield* counted(KafkaConsumerMetrics.applied, group, topic.name)).toBe(200)
      expect(yield* counted(KafkaConsumerMetrics.duplicate, group, topic.name)).toBe(200)
    })
  )

  it.scopedLive("goes on where it stopped, and a stop leaves nothing to repeat", () =>
    Effect.gen(function* () {
      const { appliedAll, count, group, make, message, publish, start, state, topic } = yield* world()
      yield* publish(rounds(5, 4, message))
      const first = yield* make({ commitEvery: "1 hour" })
      const running = yield* Effect.fork(first.run)
      yield* appliedAll(20)
      yield* Fiber.interrupt(running)
      expect(yield* first.ready).toBe(false)
      yield* publish(Array.from({ length: 5 }, (_, id) => message(id, 5)))
      yield* start({ from: "latest" })
      yield* appliedAll(25)
      expect(yield* count).toBe(25)
      expect(yield* state).toEqual(inOrder(5, 5))
      expect(yield* counted(KafkaConsumerMetrics.duplicate, group, topic.name)).toBe(0)
    })
  )

  it.scopedLive("begins with the newest messages when it is told to", () =>
    Effect.gen(function* () {
      const { appliedAll, message, publish, start, state } = yield* world(1)
      yield* publish([message(1, 1)])
      const consumer = yield* start({ from: "latest" })
      yield* eventually(Effect.map(consumer.status, ({ partitions }) => partitions.length === 1))
      yield* publish([message(1, 2)])
      yield* appliedAll(1)
      expect(yield* state).toEqual(new Map([[key(1), [2]]]))
    })
  )

  it.scopedLive("commits no offset before its effect has taken hold", () =>
    Effect.gen(function* () {
      const { append, appliedAll, message, publish, start } = yield* world(1)
      const gate = yield* Deferred.make<void>()
      yield* publish([1, 2, 3].map((sequence) => message(1, sequence)))
      const consumer = yield* start({
        commitEvery: "50 millis",
        handler: (received) =>
          received.sequence === 2 ? Effect.zipRight(Deferred.await(gate), append(received)) : append(received)
      })
      yield* appliedAll(1)
      const committed = Effect.map(consumer.status, ({ partitions: [only] }) => only?.committed)
      yield* eventually(Effect.map(committed, (offset) => offset === 1n))
      yield* Effect.sleep("500 millis")
      expect(yield* committed).toBe(1n)
      yield* Deferred.succeed(gate, undefined)
      yield* eventually(Effect.map(committed, (offset) => offset === 3n))
    })
  )

  it.scopedLive("leaves out what is older than what it has applied of a key", () =>
    Effect.gen(function* () {
      const { appliedAll, group, message, publish, start, state, topic } = yield* world(1)
      yield* publish([message(1, 1), message(1, 3), message(1, 2), message(2, 1)])
      yield* start()
      yield* appliedAll(3)
      expect(yield* state).toEqual(
        new Map([
          [key(1), [1, 3]],
          [key(2), [1]]
        ])
      )
      expect(yield* counted(KafkaConsumerMetrics.stale, group, topic.name)).toBe(1)
    })
  )

  it.scopedLive("applies all of an unordered topic, in whatever order it comes", () =>
    Effect.gen(function* () {
      const { appliedAll, message, publish, start, state } = yield* world(1, { ordered: false })
      yield* publish([message(1, 3), message(1, 1), message(1, 2)])
      yield* start()
      yield* appliedAll(3)
      expect(yield* state).toEqual(new Map([[key(1), [3, 1, 2]]]))
    })
  )

  it.scopedLive("of two topics with the same keys hides no message of one behind the other's", () =>
    Effect.gen(function* () {
      const one = yield* world(1)
      const other = yield* world(1)
      yield* one.publish([one.message(1, 5)])
      yield* other.publish([other.message(1, 1)])
      const seen: Array<string> = []
      const handler = ({ sequence, topic }: KafkaConsumer.Received<Payload>) =>
        Effect.sync(() => void seen.push(`${topic === one.topic.name ? "one" : "other"} ${sequence}`))
      const { run } = yield* KafkaConsumer.make({
        ...swift,
        group: one.group,
        transact: (body) =>
          Effect.provideService(Transaction.run(body), MongoDatabase.MongoDatabase, one.database),
        topics: [
          KafkaConsumer.subscribe(one.topic, { handler }),
          KafkaConsumer.subscribe(other.topic, { handler })
        ]
      }).pipe(
        Effect.provideService(KafkaCluster.KafkaCluster, clusterOf(one.brokers)),
        Effect.provideService(Inbox.Inbox, one.inbox)
      )
      yield* Effect.forkScoped(run)
      yield* eventually(Effect.sync(() => seen.length === 2))
      expect(seen.toSorted()).toEqual(["one 5", "other 1"])
    })
  )

  it.scopedLive(
    "runs a handler in the trace of its message, with its ids on log lines and new messages",
    () =>
      Effect.gen(function* () {
        const { message, publish, start } = yield* world(1)
        const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
        yield* publish([
          message(1, 1, {
            headers: {
              "schema-version": "1",
              traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
              session_id: "s-1",
              request_id: "r-1",
              other: "o-1"
            }
          })
        ])
        const lines: Array<Record<string, unknown>> = []
        const seen = yield* Deferred.make<unknown>()
        const logger = Logger.make(({ annotations, message: text }) => {
          if (String(text) === "handled") lines.push(Object.fromEntries(annotations))
        })
        yield* start({
          handler: () =>
            Effect.gen(function* () {
              yield* Effect.log("handled")
              const span = Option.getOrUndefined(yield* Effect.serviceOption(Tracer.ParentSpan))
              yield* Deferred.succeed(seen, [span?.traceId, yield* MessageHeaders.current])
            })
        }).pipe(Effect.provide(Logger.add(logger)))
        expect(yield* Deferred.await(seen)).toEqual([traceId, { session_id: "s-1", request_id: "r-1" }])
        expect(lines[0]).toMatchObject({ session_id: "s-1", request_id: "r-1" })
        expect(lines[0]).not.toHaveProperty("other")
      })
  )
})

describeKafka("a delete on a compacted topic", () => {
  it.scopedLive("is one for the consumer, whether it comes as a tombstone or as the JSON text null", () =>
    Effect.gen(function* () {
      for (const tombstones of [true, false]) {
        const { brokers, message, start, topic } = yield* world(1)
        const kafkaTopic = `${topic.name}-compacted`
        const sink = yield* KafkaSink.make({
          topics: [topic],
          topicName: () => kafkaTopic,
          create: { partitions: 1, configs: { "cleanup.policy": "compact" } },
          tombstones
        }).pipe(Effect.provideService(KafkaCluster.KafkaCluster, clusterOf(brokers)))
        yield* sink.deliver([message(1, 1, { payload: '{"revision":7}' }), message(1, 2, { payload: null })])
        const values = (yield* readTopic(brokers, kafkaTopic)).map(({ value }) => value)
        expect(values).toEqual(['{"revision":7}', tombstones ? null : "null"])
        const received = new Map<number, Payload | null>()
        yield* start({
          subscribe: { kafkaTopic },
          handler: ({ payload, sequence }) => Effect.sync(() => received.set(sequence, payload))
        })
        yield* eventually(Effect.sync(() => received.size === 2))
        expect([...received]).toEqual([
          [1, { revision: 7 }],
          [2, null]
        ])
      }
    })
  )
})

describeKafka("a record that cannot be read", () => {
  it.scopedLive("is a dead letter as it came, and delays nobody", () =>
    Effect.gen(function* () {
      const { appliedAll, brokers, group, message, publish, start, state, topic } = yield* world(1)
      yield* publish([
        message(1, 1),
        message(1, 2, { payload: '{"revision":"ada@example.org"}', headers: { note: "kept" } }),
        message(2, 1, { headers: { "schema-version": "2" } }),
        message(1, 3),
        message(2, 2)
      ])
      const consumer = yield* start()
      yield* appliedAll(3)
      expect(yield* state).toEqual(
        new Map([
          [key(1), [1, 3]],
          [key(2), [2]]
        ])
      )
      yield* eventually(Effect.map(consumer.status, ({ partitions: [only] }) => only?.committed === 5n))
      const letters = yield* readTopic(brokers, `${topic.name}.dead`)
      expect(letters).toMatchObject([
        {
          key: key(1),
          value: '{"revision":"ada@example.org"}',
          headers: {
            note: "kept",
            ce_sequence: "0000000000000002.000000",
            "dead-reason": "record cannot be read: BadPayload: payload.revision: invalid",
            "dead-attempts": "1",
            "dead-consumer": group,
            "dead-topic": topic.name,
            "dead-partition": "0",
            "dead-offset": "1"
          }
        },
        {
          key: key(2),
          headers: { "dead-reason": expect.stringContaining("UnknownVersion"), "dead-offset": "2" }
        }
      ])
      expect(JSON.stringify(letters.map(({ headers }) => headers))).not.toContain("ada@")
      expect(yield* counted(KafkaConsumerMetrics.dead, group, topic.name)).toBe(2)
    })
  )

  it.scopedLive("of an older version is raised", () =>
    Effect.gen(function* () {
      const { appliedAll, message, publish, start, state } = yield* world(1, { schemaVersion: 2 })
      yield* publish([
        message(1, 1, { payload: '{"rev":1}', headers: { "schema-version": "1" } }),
        message(1, 2, { headers: { "schema-version": "2" } })
      ])
      yield* start({
        subscribe: { upcasts: { 1: (old) => ({ revision: Reflect.get(Object(old), "rev") }) } }
      })
      yield* appliedAll(2)
      expect(yield* state).toEqual(new Map([[key(1), [1, 2]]]))
    })
  )

  it.scopedLive("is not skipped while its dead letter cannot be written", () =>
    Effect.gen(function* () {
      const { appliedAll, brokers, message, publish, start, state, topic } = yield* world(1)
      yield* publish([message(1, 1), message(1, 2, { payload: "no JSON" }), message(1, 3)])
      const consumer = yield* start({ createDeadLetterTopics: false, commitEvery: "50 millis" })
      const committed = Effect.map(consumer.status, ({ partitions: [only] }) => only?.committed)
      yield* eventually(Effect.map(committed, (offset) => offset === 1n))
      yield* Effect.sleep("1 second")
      expect(yield* state).toEqual(new Map([[key(1), [1]]]))
      expect(yield* committed).toBe(1n)
      yield* withAdmin(brokers, (admin) =>
        admin.createTopics({ topics: [`${topic.name}.dead`], partitions: 1, replicas: 1 })
      )
      yield* appliedAll(2)
      expect(yield* state).toEqual(new Map([[key(1), [1, 3]]]))
      expect(yield* readTopic(brokers, `${topic.name}.dead`)).toHaveLength(1)
    })
  )
})

describeKafka("a handler that fails", () => {
  it.scopedLive(
    "is tried a limited number of times; then its record is a dead letter and its key goes on",
    () =>
      Effect.gen(function* () {
        const { append, appliedAll, brokers, group, message, publish, start, state, topic } = yield* world(1)
        yield* publish([message(1, 1), message(1, 2), message(2, 1), message(1, 3)])
        let attempts = 0
        const lines: Array<string> = []
        const logger = Logger.make((line) => void lines.push(Logger.stringLogger.log(line)))
        yield* start({
          retry: { maxAttempts: 3, firstDelay: "10 millis" },
          handler: (received) =>
            Effect.suspend(() => {
              if (received.key !== key(1) || received.sequence !== 2) return append(received)
              attempts += 1
              return Effect.zipRight(append(received), attempts === 1 ? Effect.die(broken) : broken)
            })
        }).pipe(Effect.provide(Logger.add(logger)))
        yield* appliedAll(3)
        expect(attempts).toBe(3)
        expect(yield* state).toEqual(
          new Map([
            [key(1), [1, 3]],
            [key(2), [1]]
          ])
        )
        const [letter] = yield* readTopic(brokers, `${topic.name}.dead`)
        expect(letter?.headers).toMatchObject({ "dead-reason": "Broken: Impossible", "dead-attempts": "3" })
        expect(JSON.stringify([letter, lines])).not.toContain("ada@")
        expect(lines.join("\n")).toContain("Broken: Impossible")
        expect(yield* counted(KafkaConsumerMetrics.retried, group, topic.name)).toBe(2)
      })
  )

  it.scopedLive("with an error that may pass is tried for as long as it takes", () =>
    Effect.gen(function* () {
      const { append, appliedAll, brokers, message, publish, start, state, topic } = yield* world(1)
      yield* publish([message(1, 1), message(1, 2)])
      let attempts = 0
      yield* start({
        retry: { maxAttempts: 2, firstDelay: "5 millis", maxDelay: "10 millis" },
        handler: (received) =>
          Effect.suspend(() => {
            attempts += 1
            return attempts <= 8 ? new Away({ reason: "Unavailable" }) : append(received)
          })
      })
      yield* appliedAll(2)
      expect(yield* state).toEqual(new Map([[key(1), [1, 2]]]))
      const topics = yield* withAdmin(brokers, (admin) => admin.listTopics())
      expect(topics).not.toContain(`${topic.name}.dead`)
    })
  )

  it.scopedLive("undoes a transaction that records share, and harms none of the others", () =>
    Effect.gen(function* () {
      const { append, appliedAll, brokers, message, publish, start, state, topic } = yield* world(1)
      yield* publish(rounds(3, 10, message))
      yield* start({
        recordsPerTransaction: 30,
        retry: { maxAttempts: 2, firstDelay: "5 millis" },
        handler: (received) =>
          received.key === key(1) && received.sequence === 4
            ? Effect.zipRight(append(received), broken)
            : append(received)
      })
      yield* appliedAll(29)
      const expected = new Map(inOrder(3, 10))
      expected.set(key(1), [1, 2, 3, 5, 6, 7, 8, 9, 10])
      expect(yield* state).toEqual(expected)
      expect(yield* readTopic(brokers, `${topic.name}.dead`)).toHaveLength(1)
    })
  )
})

describeKafka("a slow handler", () => {
  it.scopedLive("pauses its partition, so that memory stays bounded, and delays no other partition", () =>
    Effect.gen(function* () {
      const { append, appliedAll, count, message, publish, start, state } = yield* world(2)
      // The keys are spread over both partitions. What was sent together is fetched together: so not all at once.
      for (const part of chunks(rounds(8, 100, message), 40)) yield* publish(part)
      const gate = yield* Deferred.make<void>()
      const blocked = yield* Deferred.make<number>()
      const consumer = yield* start({
        maxRecordsPerPartition: 50,
        maxBytesPerFetch: 4_096,
        recordsPerTransaction: 25,
        handler: (received) =>
          Effect.gen(function* () {
            yield* Deferred.succeed(blocked, received.source.partition)
            if (received.source.partition === (yield* Deferred.await(blocked))) yield* Deferred.await(gate)
            yield* append(received)
          })
      })
      const partition = yield* Deferred.await(blocked)
      const part = (isBlocked: boolean) =>
        Effect.map(consumer.status, ({ partitions }) =>
          partitions.find((one) => (one.partition === partition) === isBlocked)
        )
      yield* eventually(
        Effect.map(part(false), (other) => other !== undefined && other.finished > 0n && other.lag === 0)
      )
      yield* eventually(Effect.map(part(true), (one) => one?.isPaused === true))
      const held = (yield* part(true))?.held ?? 0
      // One fetch of 4 KiB holds some 15 of these records, or what was sent together.
      expect(held).toBeGreaterThanOrEqual(50)
      expect(held).toBeLessThan(100)
      yield* Effect.sleep("700 millis")
      expect((yield* part(true))?.held).toBe(held)
      expect(yield* count).toBeGreaterThan(0)
      yield* Deferred.succeed(gate, undefined)
      yield* appliedAll(800)
      expect(yield* state).toEqual(inOrder(8, 100))
    })
  )

  it.scopedLive("of one key does not delay other keys of its partition, where several are worked on", () =>
    Effect.gen(function* () {
      const { append, appliedAll, message, publish, start, state } = yield* world(1)
      yield* publish(rounds(16, 5, message))
      const gate = yield* Deferred.make<void>()
      const consumer = yield* start({
        keysAtOnce: 8,
        handler: (received) =>
          received.key === key(0) && received.sequence === 1
            ? Effect.zipRight(Deferred.await(gate), append(received))
            : append(received)
      })
      // Keys that share a lane with the slow one wait, the others go on.
      yield* appliedAll(40)
      expect((yield* state).has(key(0))).toBe(false)
      const [only] = (yield* consumer.status).partitions
      expect(only?.finished).toBe(0n)
      expect(only?.committed).toBe(0n)
      yield* Deferred.succeed(gate, undefined)
      yield* appliedAll(80)
      expect(yield* state).toEqual(inOrder(16, 5))
      yield* eventually(Effect.map(consumer.status, ({ partitions: [one] }) => one?.committed === 80n))
    })
  )
})

describeKafka("offsets that the broker has deleted", () => {
  it.scopedLive("are passed over, which is told, and all that is left is applied", () =>
    Effect.gen(function* () {
      const { appliedAll, brokers, group, make, message, publish, start, state, topic } = yield* world(1)
      yield* publish([message(1, 1), message(1, 2)])
      const before = yield* make()
      const running = yield* Effect.fork(before.run)
      yield* appliedAll(2)
      yield* Fiber.interrupt(running)
      yield* publish([3, 4, 5, 6].map((sequence) => message(1, sequence)))
      yield* withAdmin(brokers, (admin) =>
        admin.deleteRecords({ topics: [{ name: topic.name, partitions: [{ partition: 0, offset: 4n }] }] })
      )
      yield* start()
      yield* appliedAll(4)
      expect(yield* state).toEqual(new Map([[key(1), [1, 2, 5, 6]]]))
      expect(yield* counted(KafkaConsumerMetrics.lost, group, topic.name)).toBe(1)
    })
  )
})

describeKafka("lag", () => {
  it.scopedLive("is told by partition, and no longer once the consumer has gone", () =>
    Effect.gen(function* () {
      const { group, make, message, publish, topic } = yield* world(1)
      const consumer = yield* make({ stopWithin: "100 millis", handler: () => Effect.never })
      const gauge = KafkaConsumerMetrics.lag.pipe(
        Metric.tagged("consumer", group),
        Metric.tagged("topic", topic.name),
        Metric.tagged("partition", "0")
      )
      const lag = Effect.map(Metric.value(gauge), ({ value }) => value)
      const running = yield* Effect.fork(consumer.run)
      yield* publish(rounds(1, 30, message))
      yield* eventually(Effect.map(lag, (value) => value === 30))
      yield* publish([message(2, 1)])
      yield* eventually(Effect.map(lag, (value) => value === 31))
      yield* Fiber.interrupt(running)
      expect(yield* lag).toBe(0)
    })
  )
})

describeKafka("settings", () => {
  it.effect("that cannot work are refused at once", () =>
    Effect.gen(function* () {
      const topic = Topic.anonymized("two", Schema.Struct({}))
      const make = (topics: ReadonlyArray<KafkaConsumer.Subscription<never>>) =>
        KafkaConsumer.make({ group: "g", topics, transact: () => Effect.die("unused") }).pipe(
          Effect.provideService(KafkaCluster.KafkaCluster, clusterOf("127.0.0.1:1")),
          Effect.provideService(Inbox.Inbox, { once: () => Effect.die("unused") }),
          Effect.exit,
          Effect.map(({ _tag }) => _tag)
        )
      const one = KafkaConsumer.subscribe(topic, { handler: () => Effect.void })
      const misnamed = KafkaConsumer.subscribe(topic, { kafkaTopic: "no topic", handler: () => Effect.void })
      expect(yield* make([one])).toBe("Success")
      for (const topics of [[], [one, one], [misnamed]]) expect(yield* make(topics)).toBe("Failure")
    })
  )
})
