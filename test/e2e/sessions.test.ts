import { createServer } from "node:net"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { expect, it } from "@effect/vitest"
import { Config, Duration, Effect, Fiber, Schedule } from "effect"
import type { Db } from "mongodb"
import { plainDatabase, testSecret } from "../setup/appDatabase.ts"
import { type AppProcess, endsWith, startApp, temporaryFolder } from "../setup/appProcess.ts"
import { messageIdOf, sessionIdOf, SessionTraffic } from "../setup/sessionTraffic.ts"
import { mongoWithShortLivedLocks } from "../setup/shortLivedLocks.ts"
import { describeKafka, ownKafka } from "../setup/testKafka.ts"
import { testRedis } from "../setup/testServers.ts"

/*
 * The short form of a longer run: SESSION_EVENTS=200 npx vitest run test/e2e/sessions.test.ts has 10,000 events.
 */

const sessions = Config.withDefault(Config.integer("SESSIONS"), 50)
const eventsEach = Config.withDefault(Config.integer("SESSION_EVENTS"), 24)

/** Messages of a session on their way. */
const window = 8

/** A relay takes its slots over after 6 seconds, a consumer its partitions; the rest depends on the machine. */
const arriveWithin = "2 minutes"

/** A port for a server that is to be found again after it was killed. */
const freePort = Effect.promise(async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
})

/** Where the events are, for whoever looks into a failure. */
const standing = (db: Db) =>
  Effect.promise(async () => {
    const events = await db.collection("session_events").countDocuments()
    const outbox = await db
      .collection("outbox")
      .aggregate([
        { $match: { payload: { $type: "string" } } },
        { $group: { _id: { state: "$state", behind: "$behind" }, count: { $sum: 1 } } }
      ])
      .toArray()
    return `${events} events; outbox: ${JSON.stringify(outbox)}`
  })

const kill = (app: AppProcess) =>
  Effect.promise(async () => {
    app.signal("SIGKILL")
    // It must have lived until now.
    const { signal } = await app.exit
    expect({ signal, output: app.output }).toEqual({ signal: "SIGKILL", output: app.output })
  })

describeKafka("Events of sessions", () => {
  it.scopedLive(
    "are in MongoDB once each and in their order, whichever of ingest, relay, consumer and broker was killed",
    () =>
      Effect.gen(function* () {
        const [count, each] = yield* Config.all([sessions, eventsEach])
        const [mongo, kafka] = yield* Effect.all([mongoWithShortLivedLocks, ownKafka()], { concurrency: 2 })
        const redis = yield* testRedis
        const folder = yield* temporaryFolder
        const port = yield* freePort
        const env = {
          MONGODB_URI: mongo.uri,
          REDIS_URL: redis.url,
          KAFKA: "on",
          KAFKA_BROKERS: kafka.brokers,
          ANONYMIZE_SECRET: testSecret,
          INGEST_RATE: "10000",
          INGEST_RATE_PER_ADDRESS: "100000",
          LOG_LEVEL: "warning"
        }
        const start = (role: string, own = {}) =>
          startApp({ env: { ...env, ...own }, folder, args: ["--roles", role] })
        const startIngest = start("ingest", { PORT: String(port) })
        const ingest = yield* startIngest
        const relay = yield* start("relay")
        const consumer = yield* start("consumer")

        const traffic = new SessionTraffic({
          base: `ws://127.0.0.1:${port}`,
          sessions: count,
          messagesEach: each,
          window
        })
        const begun = performance.now()
        const running = yield* Effect.fork(Effect.promise(() => traffic.run()))
        const reached = (share: number) =>
          Effect.repeat(
            Effect.delay(
              Effect.sync(() => traffic.acknowledged),
              "5 millis"
            ),
            { until: (acknowledged) => acknowledged >= share * count * each }
          )
        const killAndStart = (share: number, app: AppProcess, again: typeof startIngest) =>
          Effect.zipRight(reached(share), Effect.zipRight(kill(app), again))

        const apps = [
          yield* killAndStart(0.15, ingest, startIngest),
          yield* killAndStart(0.35, relay, start("relay")),
          yield* killAndStart(0.55, consumer, start("consumer"))
        ]
        yield* reached(0.75)
        yield* kafka.kill("SIGKILL")
        yield* kafka.start
        yield* Fiber.join(running)
        const acknowledgedAt = performance.now()
        expect(traffic.acknowledged).toBe(count * each)
        // A client that was cut off had to send again; nobody was refused.
        expect(traffic.breaks).toBeGreaterThan(0)
        expect([...traffic.errors.keys()].filter((code) => code !== "unavailable")).toEqual([])

        const db = yield* plainDatabase({ mongoUri: mongo.uri, database: "twinbox" })
        const events = db.collection("session_events")
        yield* Effect.promise(() => events.countDocuments()).pipe(
          Effect.repeat({ until: (found) => found >= count * each, schedule: Schedule.spaced("100 millis") }),
          Effect.timeout(arriveWithin),
          Effect.tapError(() => Effect.flatMap(standing(db), (counts) => Effect.logError(counts))),
          Effect.tapError(() => Effect.logError(apps.map(({ output }) => output).join("\n---\n")))
        )
        const arrivedAt = performance.now()
        const inOrder = Array.from({ length: each }, (_, at) => messageIdOf(at))
        for (let at = 0; at < count; at++) {
          const sessionId = sessionIdOf(at)
          const found = yield* Effect.promise(() =>
            events.find({ session_id: sessionId }).sort({ sequence: 1 }).toArray()
          )
          expect([sessionId, found.map(({ message_id: id }) => String(id))]).toEqual([sessionId, inOrder])
        }
        const counted = yield* Effect.promise(() => db.collection("sessions").find().toArray())
        expect(counted.map(({ counts }) => counts as unknown)).toEqual(
          Array.from({ length: count }, () => ({ track: each }))
        )

        for (const app of apps) app.signal("SIGINT")
        for (const app of apps) yield* endsWith(app, 0)
        expect(
          yield* Effect.promise(() =>
            db.collection("outbox").countDocuments({ payload: { $type: "string" } })
          )
        ).toBe(0)
        const seconds = (from: number, to: number) => Duration.format(Duration.millis(Math.round(to - from)))
        yield* Effect.log(
          `${count * each} events of ${count} sessions: acknowledged after ${seconds(begun, acknowledgedAt)}, ` +
            `all in MongoDB ${seconds(acknowledgedAt, arrivedAt)} later; ${traffic.breaks} breaks`
        )
      }),
    600_000
  )
})
