import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { promisify } from "node:util"
import { expect, layer } from "@effect/vitest"
import { Context, Duration, Effect, Layer } from "effect"
import type { Db } from "mongodb"
import type { ExportResource } from "../../examples/reference-app/src/ExportResource.ts"
import { replay } from "../../packages/exporter/test/testParts.ts"
import { appDatabase, plainDatabase } from "../setup/appDatabase.ts"
import { type AppProcess, endsWith, startApp } from "../setup/appProcess.ts"
import { docExamples, readAnswer } from "../setup/docExamples.ts"

const page = readFileSync(new URL("../../docs/exporter.md", import.meta.url), "utf8")

/** What differs from run to run, or from moment to moment, beside ids. */
const steady = (text: string): string =>
  text
    .replaceAll("CREATED", "PENDING")
    .replace(/"percent":( ?)\w+/g, '"percent":$10')
    .replace(/[0-9a-f]{64}/g, "<sha256>")
    .replace(/:[\w+/]{43}=:/g, ":<sha256>:")
    .replace(/\d+-\d+-\d+T[\d:.]+Z/g, "<moment>")

/** Numbers tell how much there happens to be. */
const countless = (text: string): string => text.replace(/\d+/g, "0")

const baseOf = (app: AppProcess) =>
  Effect.map(
    Effect.promise(() => app.waitFor(/HTTP: (http:\S+) has/)),
    ([, base = ""]) => base
  )

const startInstance = (env: Readonly<Record<string, string>>, roles: string) =>
  Effect.gen(function* () {
    const app = yield* startApp({ env, args: ["--roles", roles] })
    return { app, base: yield* baseOf(app) }
  })

/** An instance of the app that answers and relays, with its database. */
class World extends Context.Tag("test/e2e/exports/World")<
  World,
  { readonly base: string; readonly env: Readonly<Record<string, string>>; readonly db: Db }
>() {}

const world = Layer.scoped(
  World,
  Effect.gen(function* () {
    const { env, place } = yield* appDatabase
    const db = yield* plainDatabase(place)
    const { base } = yield* startInstance({ ...env, EXPORT_HEARTBEAT_LIMIT_MS: "4000" }, "api,relay")
    return { base, env, db }
  })
)

const call = (method: string, url: string, body?: object) =>
  Effect.promise(async (signal) => {
    const json = { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }
    const response = await fetch(url, { method, signal, ...(body === undefined ? {} : json) })
    return { status: response.status, body: (await response.json()) as ExportResource }
  })

const start = (base: string, body: object) =>
  Effect.map(call("POST", `${base}/exports`, body), (reply) => {
    expect([reply.status, reply.body]).toEqual([202, reply.body])
    return reply.body.id
  })

const look = (base: string, id: string) =>
  Effect.map(call("GET", `${base}/exports/${id}`), ({ body }) => body)

const until = <A>(look: Effect.Effect<A>, isSo: (found: A) => boolean) =>
  Effect.repeat(Effect.delay(look, "50 millis"), { until: isSo }).pipe(Effect.timeout("40 seconds"))

const download = (base: string, id: string) =>
  Effect.promise(async (signal) => {
    const response = await fetch(`${base}/exports/${id}/data`, { signal })
    return { state: response.headers.get("x-export-state"), text: await response.text() }
  })

/** What every export has of a customer, as JSON. */
const stored = (db: Db, collection: string) =>
  Effect.promise(async () => {
    const found = await db.collection(collection).find().toArray()
    return new Map(
      found.map(({ fingerprint, keyVersion, ...fields }) => [
        String(fields._id),
        JSON.parse(JSON.stringify({ ...fields, deleted: false })) as object
      ])
    )
  })

const owed = (db: Db) => Effect.promise(() => db.collection("outbox").countDocuments({ key: { $ne: "" } }))

const views = [
  { view: "anonymized", collection: "customers_anonymised" },
  { view: "original", collection: "customers" }
] as const

layer(world, { excludeTestServices: true })("Exports", (it) => {
  it.scoped("are watched and stopped from another instance, which marks those of one that was killed", () =>
    Effect.gen(function* () {
      const { base, db, env } = yield* World
      const other = yield* startInstance({ ...env, EXPORT_HEARTBEAT_LIMIT_MS: "3000" }, "api")
      yield* call("POST", `${base}/v1/customer`, { name: "cc Inc", address: "cahce 37" })
      const body = { mode: "snapshot+live" }

      const stopped = yield* start(other.base, body)
      yield* until(look(base, stopped), ({ records }) => records > 0)
      expect((yield* call("DELETE", `${base}/exports/${stopped}`)).body.state).toBe("CANCELLED")
      expect((yield* look(other.base, stopped)).state).toBe("CANCELLED")
      expect((yield* call("DELETE", `${other.base}/exports/${stopped}`)).status).toBe(409)

      const orphan = yield* start(other.base, body)
      yield* until(look(base, orphan), ({ records }) => records > 0)
      other.app.signal("SIGKILL")
      const marked = yield* until(look(base, orphan), ({ state }) => state !== "PENDING")
      expect(marked).toMatchObject({ state: "FAILED", failure: "ProcessEnded" })
      const part = yield* download(base, orphan)
      expect([part.state, part.text.length]).toEqual(["FAILED", marked.bytes])
      const trail = yield* Effect.promise(() =>
        db.collection("export_audit").find({ exportId: orphan, event: "Ended" }).toArray()
      )
      expect(trail).toMatchObject([{ who: "anybody", state: "FAILED", failure: "ProcessEnded" }])
    })
  )

  it.scoped("of a snapshot and 500 changes a second, replayed, are the customers and twins at the end", () =>
    Effect.gen(function* () {
      const { base, db, env } = yield* World
      const generator = yield* startApp({
        env: {
          ...env,
          FAKER_FILLING_DELAY_MS: "200",
          FAKER_BATCH_MIN: "100",
          FAKER_BATCH_MAX: "100",
          FAKER_UPDATE_SHARE: "0.5",
          FAKER_DELETE_SHARE: "0.1"
        },
        args: ["--roles", "generator"]
      })
      yield* until(
        Effect.promise(() => db.collection("customers").countDocuments()),
        (count) => count > 300
      )
      const ids = yield* Effect.forEach(views, ({ view }) => start(base, { view, mode: "snapshot+live" }))
      const { records: snapshot } = yield* until(look(base, ids[0] ?? ""), ({ records }) => records > 300)
      const [took, { records }] = yield* Effect.timed(
        until(look(base, ids[0] ?? ""), ({ records }) => records > snapshot + 2_000)
      )
      // What a machine can do is no matter of the test; whoever measures reads it here.
      const perSecond = (records - snapshot) / Duration.toSeconds(took)
      yield* Effect.logInfo(`the live export got ${perSecond.toFixed(0)} changes a second`)
      generator.signal("SIGINT")
      yield* endsWith(generator, 0)
      yield* until(owed(db), (count) => count === 0)
      for (const [at, { collection }] of views.entries()) {
        const id = ids[at] ?? ""
        const [followed, finished] = yield* Effect.all(
          [download(base, id), call("POST", `${base}/exports/${id}/finish`)],
          { concurrency: 2 }
        )
        expect(finished.body.state).toBe("COMPLETED")
        expect(followed.text.length).toBeGreaterThan(100_000)
        expect(followed.text).toContain('"deleted":true')
        expect(replay(followed.text)).toEqual(yield* stored(db, collection))
      }
    })
  )

  it.effect("are documented with examples for all that can be done with them", () =>
    Effect.sync(() => {
      const commands = docExamples(page).map(({ command }) => command)
      for (const part of ["-X DELETE", "/finish", "/data", "Range:", "-sI http://127.0.0.1:3000/exports\n"]) {
        expect(commands.join("")).toContain(part)
      }
      expect(page.match(/^```sh\n.*curl/gm)).toHaveLength(commands.length)
    })
  )

  it.effect.each(docExamples(page))("answer as documented: $command", ({ command, expected }) =>
    Effect.gen(function* () {
      const { base } = yield* World
      const { stdout } = yield* Effect.promise(() =>
        promisify(execFile)("bash", [
          "-euo",
          "pipefail",
          "-c",
          command.replaceAll("http://127.0.0.1:3000", base)
        ])
      )
      const answer = readAnswer(steady(stdout))
      const documented = readAnswer(steady(expected))
      const bodyOf = ({ body }: typeof answer) => countless(JSON.stringify(body))
      expect([answer.status, bodyOf(answer)]).toEqual([documented.status, bodyOf(documented)])
      for (const [name, value] of documented.headers) {
        expect([name, countless(answer.headers.get(name) ?? "")]).toEqual([name, countless(value)])
      }
    })
  )
})
