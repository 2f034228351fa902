import { delimiter, join } from "node:path"
import { existsSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Schedule } from "effect"
import { MongoClient } from "mongodb"
import { appDatabase } from "../setup/appDatabase.ts"
import { type AppProcess, endsWith, startApp, temporaryFolder } from "../setup/appProcess.ts"
import { openSession, trackMessage } from "../setup/sessionClient.ts"
import { describeKafka } from "../setup/testKafka.ts"

const stopWithinMillis = 5_000

const sessionRoles = ["--roles", "ingest,relay,consumer"]

const baseOf = (app: AppProcess) =>
  Effect.map(
    Effect.promise(() => app.waitFor(/WebSocket: (ws:\/\/\S+)\/websocket/)),
    ([, base = ""]) => base
  )

const savedAs = (base: string, messageId: string) =>
  Effect.promise(async () => {
    const client = await openSession(base, "s1")
    client.send(trackMessage(messageId))
    const [reply] = await client.received(1)
    client.close()
    return reply?.type
  })

const collectionOf = (uri: string, name: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => new MongoClient(uri).connect()),
      (client) => Effect.promise(() => client.close())
    ),
    (client) => client.db().collection<{ _id: string; sequence: number }>(name)
  )

describeKafka("A Kafka of the app's own", () => {
  it.scopedLive(
    "carries what is sent meanwhile as soon as it is up, stops with the app and goes on from where it was",
    () =>
      Effect.gen(function* () {
        const { env } = yield* appDatabase
        const folder = yield* temporaryFolder
        const options = { env: { ...env, KAFKA: "on" }, folder, args: sessionRoles }
        const events = yield* collectionOf(env.MONGODB_URI, "session_events")
        for (const run of [1, 2]) {
          const app = yield* startApp(options)
          const base = yield* baseOf(app)
          expect(yield* savedAs(base, `m${run}`)).toBe("ack")
          yield* Effect.promise(() => events.countDocuments()).pipe(
            Effect.repeat({ until: (count) => count >= run, schedule: Schedule.spaced("100 millis") })
          )
          app.signal("SIGINT")
          const [took] = yield* Effect.timed(endsWith(app, 0))
          expect(Duration.toMillis(took)).toBeLessThan(stopWithinMillis)
        }
        const found = yield* Effect.promise(() => events.find().sort({ sequence: 1 }).toArray())
        expect(found.map(({ _id, sequence }) => [_id, Number(sequence)])).toEqual([
          ["s1/m1", 1],
          ["s1/m2", 2]
        ])
      }),
    120_000
  )
})

/** The PATH without the folders that have a Java. */
const pathWithoutJava = (process.env["PATH"] ?? "")
  .split(delimiter)
  .filter((folder) => !existsSync(join(folder, "java")))
  .join(delimiter)

describe("Without Kafka", () => {
  it.scopedLive("where there is no Java, the app says so, and takes events that wait in the outbox", () =>
    Effect.gen(function* () {
      const { env } = yield* appDatabase
      const withoutJava = { ...env, KAFKA: "on", PATH: pathWithoutJava, JAVA_HOME: "" }
      const app = yield* startApp({ env: withoutJava, args: sessionRoles })
      expect(yield* savedAs(yield* baseOf(app), "m1")).toBe("ack")
      expect(app.output).toMatch(/running without consumer: There is no [Jj]ava/)
      yield* Effect.promise(() => app.waitFor(/status: /))
      app.signal("SIGINT")
      yield* endsWith(app, 0)
      const outbox = yield* collectionOf(env.MONGODB_URI, "outbox")
      const waiting = yield* Effect.promise(() => outbox.find({ key: "session/s1" }).toArray())
      expect(waiting).toEqual([expect.objectContaining({ topic: "session-events" })])
    })
  )

  it.scopedLive("a role that needs it does not start", () =>
    Effect.gen(function* () {
      const { env } = yield* appDatabase
      const app = yield* startApp({ env, args: ["--roles", "consumer"] })
      yield* endsWith(app, 1)
      expect(app.output.trim().split("\n").at(-1)).toBe("reference-app: KAFKA is off")
    })
  )
})
