import { execFile } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Schedule } from "effect"
import { appDatabase, plainDatabase } from "../setup/appDatabase.ts"
import { type AppProcess, endsWith, startApp, temporaryFolder } from "../setup/appProcess.ts"
import { docExamples, stable } from "../setup/docExamples.ts"
import { openSession, trackMessage } from "../setup/sessionClient.ts"
import { describeKafka } from "../setup/testKafka.ts"

const stopWithinMillis = 5_000

const sessionRoles = ["--roles", "ingest,relay,consumer"]

const baseOf = (app: AppProcess) =>
  Effect.map(
    Effect.promise(() => app.waitFor(/WebSocket: (ws:\/\/\S+)\/websocket/)),
    ([, base = ""]) => base
  )

const savedAs = (base: string, sessionId: string, messageId: string) =>
  Effect.promise(async () => {
    const client = await openSession(base, sessionId)
    client.send(trackMessage(messageId))
    const [reply] = await client.received(1)
    client.close()
    return reply?.type
  })

const collectionOf = (place: Parameters<typeof plainDatabase>[0], name: string) =>
  Effect.map(plainDatabase(place), (db) => db.collection<{ _id: string; sequence: number }>(name))

const read = (file: string): string => readFileSync(new URL(`../../docs/${file}`, import.meta.url), "utf8")

const page = read("kafka.md")
const [customers, sessions] = docExamples(page, "text")

/** What sends the event that the second example reads. */
const sending = /^```sh\n(node -e (?:(?!```).*\n)*)```$/m.exec(read("events.md"))?.[1] ?? ""

const [, documentedArguments = ""] = /`npm start -- (--roles [a-z,]+)`/.exec(page) ?? []

/** Where the documentation says that the app and its Kafka are. */
const documentedApp = "127.0.0.1:3000"
const [, documentedKafka = ""] = /Kafka: ready at (\S+)/.exec(page) ?? []

/** Runs a block as a person would who pastes it into a terminal. */
const run = (command: string) =>
  Effect.async<string>((resume) => {
    execFile("bash", ["-euo", "pipefail", "-c", command], { timeout: 60_000 }, (error, stdout, stderr) => {
      resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(`${command}\n${stderr}`)))
    })
  })

/** With placeholders for what differs from run to run. */
const comparable = (printed: string): string =>
  stable(printed)
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replace(/\b00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]\b/g, "<trace>")

const stopsInTime = (app: AppProcess) =>
  Effect.gen(function* () {
    app.signal("SIGINT")
    const [took] = yield* Effect.timed(endsWith(app, 0))
    expect(Duration.toMillis(took)).toBeLessThan(stopWithinMillis)
  })

describeKafka("A Kafka of the app's own", () => {
  it.scopedLive(
    "carries what is sent meanwhile as soon as it is up, as docs/kafka.md prints it, stops with the app and goes on from where it was",
    () =>
      Effect.gen(function* () {
        const { env, place } = yield* appDatabase
        const options = { env: { ...env, KAFKA: "on" }, folder: yield* temporaryFolder }

        const documented = yield* startApp({ ...options, args: documentedArguments.split(" ") })
        const [, address = ""] = yield* Effect.promise(() => documented.waitFor(/HTTP: http:\/\/(\S+) has/))
        yield* baseOf(documented)
        expect(yield* run(sending.replaceAll(documentedApp, address))).toContain('"type":"ack"')
        const [, brokers = ""] = yield* Effect.promise(() => documented.waitFor(/Kafka: ready at (\S+)/))
        const printed = yield* Effect.forEach(
          [customers, sessions],
          (example) =>
            run(
              (example?.command ?? "").replaceAll(documentedApp, address).replaceAll(documentedKafka, brokers)
            ),
          { concurrency: "unbounded" }
        )
        expect(printed.map(comparable)).toEqual(
          [customers, sessions].map((example) => comparable(example?.expected ?? "nothing is documented"))
        )
        yield* stopsInTime(documented)

        const again = yield* startApp({ ...options, args: sessionRoles })
        expect(yield* savedAs(yield* baseOf(again), "demo", "m-2")).toBe("ack")
        const events = yield* collectionOf(place, "session_events")
        yield* Effect.promise(() => events.countDocuments()).pipe(
          Effect.repeat({ until: (count) => count >= 2, schedule: Schedule.spaced("100 millis") })
        )
        yield* stopsInTime(again)
        const found = yield* Effect.promise(() => events.find().sort({ sequence: 1 }).toArray())
        expect(found.map(({ _id, sequence }) => [_id, Number(sequence)])).toEqual([
          ["demo/m-1", 1],
          ["demo/m-2", 2]
        ])
      }),
    180_000
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
      const { env, place } = yield* appDatabase
      const withoutJava = { ...env, KAFKA: "on", PATH: pathWithoutJava, JAVA_HOME: "" }
      const app = yield* startApp({ env: withoutJava, args: sessionRoles })
      expect(yield* savedAs(yield* baseOf(app), "s1", "m1")).toBe("ack")
      expect(app.output).toMatch(/running without consumer: There is no [Jj]ava/)
      yield* Effect.promise(() => app.waitFor(/status: /))
      app.signal("SIGINT")
      yield* endsWith(app, 0)
      const outbox = yield* collectionOf(place, "outbox")
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
