import { expect, it } from "@effect/vitest"
import { KafkaCluster, KafkaSink } from "@twinbox/kafka"
import { MongoDatabase } from "@twinbox/mongodb"
import { Message } from "@twinbox/outbox"
import { type Context, Effect, Either, Layer, Logger, Redacted } from "effect"
import { describeKafka, testKafka } from "../../../test/setup/testKafka.ts"
import { testMongo } from "../../../test/setup/testServers.ts"
import * as ConsumerRole from "../src/ConsumerRole.ts"
import { EventKafka } from "../src/EventKafka.ts"
import * as Readiness from "../src/Readiness.ts"
import * as RoleFailures from "../src/RoleFailures.ts"
import { keyOf, type SessionEvent, sessionEventTopic } from "../src/SessionEvent.ts"
import * as StatusBoard from "../src/StatusBoard.ts"
import { pseudonymKey } from "./appLayers.ts"

/** Names that no other run of this test has left in Kafka. */
const unique = () => `test-${globalThis.crypto.randomUUID()}`

const eventOf = (sessionId: string, sequence: number): SessionEvent => ({
  messageId: `m${sequence}`,
  sessionId,
  requestId: `r${sequence}`,
  type: sequence % 2 === 0 ? "page" : "track",
  ...(sequence % 2 === 0 ? { name: "Ada's page" } : { event: "Order Completed" }),
  userId: "ada@example.com",
  timestamp: "2026-05-01T12:00:00.000Z",
  receivedAt: new Date(Date.parse("2026-05-01T12:00:00Z") + sequence * 1_000).toISOString()
})

const messageOf = (event: SessionEvent, sequence: number) =>
  Effect.map(
    Message.draft(sessionEventTopic, {
      key: keyOf(event.sessionId),
      payload: event,
      headers: { session_id: event.sessionId, request_id: event.requestId }
    }),
    (draft) => Message.place(draft, { sequence, ordinal: 0, createdAt: Date.now() })
  )

/** The role on a database of its own and the Kafka of the run. */
const startConsumer = Effect.gen(function* () {
  const kafka = yield* testKafka
  const mongo = yield* testMongo
  const cluster = KafkaCluster.make({ brokers: kafka.brokers.split(",") })
  const logs: Array<string> = []
  const logger = Logger.map(Logger.logfmtLogger, (line) => {
    logs.push(line)
  })
  const context = yield* Layer.build(
    ConsumerRole.layer.pipe(
      Layer.provideMerge(
        Layer.mergeAll(
          MongoDatabase.layer({
            uri: Redacted.make(mongo.uri),
            database: mongo.database,
            appName: mongo.database
          }),
          Layer.succeed(EventKafka, Either.right(Effect.succeed(cluster))),
          pseudonymKey,
          Readiness.layer,
          RoleFailures.layer,
          StatusBoard.layer
        )
      ),
      Layer.provide(Logger.replace(Logger.defaultLogger, logger))
    )
  )
  const sink = yield* Effect.provideService(
    KafkaSink.originals({ topics: [sessionEventTopic] }),
    KafkaCluster.KafkaCluster,
    cluster
  )
  const { db } = yield* Effect.provide(MongoDatabase.MongoDatabase, context)
  return { context, db, logs, sink }
})

const until = <A>(read: Effect.Effect<A>, isDone: (value: A) => boolean) =>
  Effect.repeat(Effect.delay(read, "50 millis"), { until: isDone })

type Board = Context.Tag.Service<StatusBoard.StatusBoard>

describeKafka("The role consumer", () => {
  it.scopedLive(
    "applies each event once, in the order of its session, without personal data",
    () =>
      Effect.gen(function* () {
        const { context, db, logs, sink } = yield* startConsumer
        const [one, two] = [unique(), unique()]
        const messages = yield* Effect.forEach([1, 2, 3, 4, 5], (sequence) =>
          messageOf(eventOf(one, sequence), sequence)
        )
        const other = yield* messageOf(eventOf(two, 1), 1)
        // The same messages again, as after a crash of a relay; and once under another id, after the inbox forgot.
        const again = yield* messageOf(eventOf(one, 5), 6)
        for (const batch of [messages, [other, ...messages], [again]]) {
          expect(yield* sink.deliver(batch)).toEqual([])
        }
        const last = yield* messageOf(eventOf(one, 7), 7)
        yield* sink.deliver([last])
        const events = Effect.promise(() =>
          db.collection("session_events").find({ session_id: one }).sort({ sequence: 1 }).toArray()
        )
        const found = yield* until(events, (all) => all.some(({ sequence }) => Number(sequence) === 7))
        expect(found.map(({ _id, sequence }) => [String(_id), Number(sequence)])).toEqual([
          ...[1, 2, 3, 4, 5].map((at) => [`${one}/m${at}`, at]),
          [`${one}/m7`, 7]
        ])
        expect(found[0]).toMatchObject({ request_id: "r1", type: "track", event: "Order Completed" })
        const session = yield* Effect.promise(() =>
          db.collection<{ _id: string }>("sessions").findOne({ _id: one })
        )
        expect(session).toEqual({
          _id: one,
          firstSeen: new Date("2026-05-01T12:00:01Z"),
          lastSeen: new Date("2026-05-01T12:00:07Z"),
          counts: { track: 4, page: 2 }
        })
        expect(JSON.stringify(found)).not.toMatch(/ada/i)
        expect(logs.join("\n")).not.toMatch(/ada@/i)
        expect(logs.filter((line) => line.includes("event applied") && line.includes(one))).toContainEqual(
          expect.stringMatching(/request_id=r3\b/)
        )
        const indexes = yield* Effect.promise(() => db.collection("session_events").indexes())
        expect(indexes.map(({ key }) => key)).toContainEqual({ session_id: 1, sequence: 1 })

        const board: Board = yield* Effect.provide(StatusBoard.StatusBoard, context)
        expect(yield* board.read).toEqual([
          { name: "consumerLag", value: expect.any(Number), text: expect.stringMatching(/^lag \d+$/) }
        ])
        const readiness = yield* Effect.provide(Readiness.Readiness, context)
        expect((yield* readiness.findings).get("consumer")).toEqual({})
      }),
    90_000
  )
})
