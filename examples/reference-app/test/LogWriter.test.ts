import { describe, expect, it } from "@effect/vitest"
import { MongoDatabase } from "@twinbox/mongodb"
import { Effect, Exit, Layer, Logger, LogLevel, Metric, Redacted, Runtime, Scope } from "effect"
import type { Db } from "mongodb"
import { failNext, testDatabase } from "../../../packages/mongodb/test/testDatabase.ts"
import { testMongo } from "../../../test/setup/testServers.ts"
import * as Correlation from "../src/Correlation.ts"
import * as LogBuffer from "../src/LogBuffer.ts"
import type { LogLine } from "../src/LogLine.ts"
import * as LogStore from "../src/LogStore.ts"
import * as LogWriter from "../src/LogWriter.ts"

interface Options extends LogWriter.Options {
  readonly capacity?: number
}

/** A writer on a database, what it shows on the screen, and a way to log as the app does. */
const startWriter = (database: MongoDatabase.MongoDatabase["Type"], options: Options = {}) =>
  Effect.gen(function* () {
    const shown: Array<string> = []
    const screen = Logger.make<unknown, void>(({ logLevel, message }) => {
      if (LogLevel.greaterThan(logLevel, LogLevel.Info)) shown.push(String(message))
    })
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const runtime = yield* LogWriter.layer({ gather: "20 millis", ...options }).pipe(
      Layer.provideMerge(LogBuffer.layer(options.capacity)),
      Layer.provideMerge(Logger.replace(Logger.defaultLogger, screen)),
      Layer.provide(Layer.succeed(MongoDatabase.MongoDatabase, database)),
      Layer.toRuntime,
      Scope.extend(scope)
    )
    return {
      shown,
      stop: Scope.close(scope, Exit.void),
      run: <A>(effect: Effect.Effect<A>) => Effect.provide(effect, runtime),
      /** The writer gets no turn meanwhile. */
      runAtOnce: (effect: Effect.Effect<void>) => Effect.sync(() => Runtime.runSync(runtime)(effect))
    }
  })

const storeOf = (database: MongoDatabase.MongoDatabase["Type"]) =>
  Effect.provideService(LogStore.make, MongoDatabase.MongoDatabase, database)

const stored = (db: Db) =>
  Effect.promise(() =>
    db
      .collection<LogLine>("logs")
      .find({}, { sort: { at: 1, _id: 1 } })
      .toArray()
  )

const until = <A>(look: Effect.Effect<A>, isSo: (found: A) => boolean) =>
  Effect.repeat(Effect.delay(look, "20 millis"), { until: isSo }).pipe(Effect.timeout("20 seconds"))

const numbered = (count: number, ids: Correlation.Ids, first = 0) =>
  Effect.forEach(
    Array.from({ length: count }, (_, at) => `line ${first + at}`),
    (text) => Effect.logInfo(text),
    { discard: true }
  ).pipe(Correlation.within(ids))

const texts = (lines: ReadonlyArray<LogLine>) => lines.map(({ message }) => message)

const droppedSoFar = Effect.map(Metric.value(LogWriter.dropped), ({ count }) => count)

/** Inserts are answered late from now on, until `answerAgain`. */
const hang = (database: MongoDatabase.MongoDatabase["Type"]) =>
  failNext(database, 1_000, { failCommands: ["insert"], blockConnection: true, blockTimeMS: 3_000 })

const answerAgain = ({ client }: MongoDatabase.MongoDatabase["Type"]) =>
  Effect.promise(() => client.db("admin").command({ configureFailPoint: "failCommand", mode: "off" }))

describe("Stored log lines", () => {
  it.scopedLive("are found by either id or both, the newest first, page by page", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      const { run } = yield* startWriter(database)
      const store = yield* storeOf(database)
      yield* run(numbered(3, { session_id: "s1", request_id: "r1" }))
      yield* run(numbered(2, { session_id: "s1", request_id: "r2" }, 3))
      yield* run(numbered(1, { session_id: "s2", request_id: "r1" }, 5))
      yield* run(Effect.logInfo("of nobody"))
      yield* until(stored(database.db), (lines) => lines.length === 6)
      const find = (query: LogStore.Query) => Effect.map(store.find(query), texts)
      expect(yield* find({ session_id: "s1", limit: 9 })).toEqual([4, 3, 2, 1, 0].map((at) => `line ${at}`))
      expect(yield* find({ request_id: "r1", limit: 9 })).toEqual([5, 2, 1, 0].map((at) => `line ${at}`))
      expect(yield* find({ session_id: "s2", request_id: "r1", limit: 9 })).toEqual(["line 5"])
      expect(yield* find({ session_id: "s2", request_id: "r2", limit: 9 })).toEqual([])

      const pages: Array<ReadonlyArray<string>> = []
      let before: string | undefined
      for (let page = 0; page < 3; page++) {
        const lines = yield* store.find({
          session_id: "s1",
          limit: 2,
          ...(before === undefined ? {} : { before })
        })
        pages.push(texts(lines))
        const last = lines.at(-1)
        before = last === undefined ? undefined : LogStore.positionOf(last)
      }
      expect(pages).toEqual([["line 4", "line 3"], ["line 2", "line 1"], ["line 0"]])
    })
  )

  it.scopedLive("are in a capped collection, and are read by an index, in its order", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      const store = yield* storeOf(database)
      yield* store.ensure
      yield* store.ensure
      const { db } = database
      const [info] = yield* Effect.promise(() => db.listCollections({ name: "logs" }).toArray())
      expect(info).toMatchObject({ options: { capped: true, size: 64 * 1024 * 1024 } })
      for (const id of ["session_id", "request_id"]) {
        const plan = yield* Effect.promise(() =>
          db
            .collection("logs")
            .find({ [id]: "x", at: { $lte: new Date() } }, { sort: { at: -1, _id: -1 } })
            .explain("queryPlanner")
        )
        const text = JSON.stringify(plan["queryPlanner"].winningPlan)
        expect([id, text]).toEqual([id, expect.stringContaining(`"indexName":"${id}"`)])
        expect(text).not.toMatch(/"stage":"(SORT|COLLSCAN)"/)
      }
    })
  )

  it.scopedLive("are left out where the collection is not capped, which is told", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      yield* Effect.promise(() => database.db.createCollection("logs"))
      const { run, shown, stop } = yield* startWriter(database)
      const before = yield* droppedSoFar
      yield* run(numbered(5, { request_id: "r" }))
      yield* until(droppedSoFar, (count) => count === before + 5)
      yield* run(numbered(2, { request_id: "r" }))
      yield* stop
      expect(yield* stored(database.db)).toEqual([])
      const reason = "the collection 'logs' is there and is not a capped one"
      expect(shown).toEqual([
        `5 log lines were not stored: ${reason}`,
        `2 log lines were not stored: ${reason}`
      ])
      expect(yield* droppedSoFar).toBe(before + 7)
    })
  )
})

describe("A MongoDB that does not take lines", () => {
  it.scopedLive(
    "holds nobody up; what there is no room for is counted, told once, and the rest stored once",
    () =>
      Effect.gen(function* () {
        const database = yield* testDatabase
        const { run, runAtOnce, shown, stop } = yield* startWriter(database, { capacity: 100 })
        const before = yield* droppedSoFar
        yield* run(numbered(1, { request_id: "r" }))
        yield* until(stored(database.db), (lines) => lines.length === 1)
        yield* hang(database)
        yield* run(numbered(5_000, { request_id: "r" }, 1))
        // All was logged, and nothing of it is stored.
        expect(texts(yield* stored(database.db))).toEqual(["line 0"])
        yield* until(droppedSoFar, (count) => count === before + 4_900)
        yield* answerAgain(database)
        const lines = yield* until(stored(database.db), ({ length }) => length >= 101)
        expect(texts(lines)).toEqual(Array.from({ length: 101 }, (_, at) => `line ${at}`))
        yield* until(
          Effect.sync(() => shown),
          ({ length }) => length > 0
        )
        const first = "4900 log lines were not stored: MongoDB is too slow for them"
        expect(shown).toEqual([first])
        expect(yield* droppedSoFar).toBe(before + 4_900)

        yield* runAtOnce(numbered(107, { request_id: "r" }, 6_000))
        yield* until(stored(database.db), ({ length }) => length === 201)
        yield* until(droppedSoFar, (count) => count === before + 4_907)
        expect(shown).toEqual([first])
        yield* stop
        expect(shown).toEqual([first, "7 log lines were not stored: MongoDB is too slow for them"])
      })
  )

  it.scopedLive("gets them when it is back, those that have waited longest", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      const { runAtOnce, shown } = yield* startWriter(database, { capacity: 10, tellEvery: 0 })
      yield* (yield* storeOf(database)).ensure
      // 9001: SocketException. The driver tries once more by itself.
      yield* failNext(database, 6, {
        failCommands: ["insert"],
        errorCode: 9001,
        errorLabels: ["RetryableWriteError"]
      })
      yield* runAtOnce(numbered(15, { request_id: "r" }))
      const lines = yield* until(stored(database.db), ({ length }) => length > 0)
      expect(texts(lines)).toEqual(Array.from({ length: 10 }, (_, at) => `line ${at}`))
      yield* until(
        Effect.sync(() => shown),
        ({ length }) => length > 0
      )
      expect(shown).toEqual([expect.stringMatching(/^5 log lines were not stored: MongoDB is /)])
    })
  )

  it.scopedLive("keeps what it refuses for good from nobody else: that alone is dropped", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      const { run, shown } = yield* startWriter(database, { tellEvery: 0 })
      yield* run(numbered(1, { request_id: "r" }))
      yield* until(stored(database.db), (lines) => lines.length === 1)
      // 13: Unauthorized
      yield* failNext(database, 1, { failCommands: ["insert"], errorCode: 13 })
      yield* run(numbered(2, { request_id: "r" }, 1))
      yield* until(
        Effect.sync(() => shown),
        (lines) => lines.length > 0
      )
      expect(shown).toEqual(["2 log lines were not stored: MongoDB refused the operation: Unauthorized"])
      yield* run(numbered(1, { request_id: "r" }, 3))
      yield* until(stored(database.db), (lines) => texts(lines).join() === "line 0,line 3")
    })
  )
})

describe("A stop", () => {
  it.scopedLive("stores what still waits", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      const { run, shown, stop } = yield* startWriter(database, {
        gather: "1 hour",
        flushWithin: "20 seconds"
      })
      yield* run(numbered(900, { session_id: "s" }))
      expect(yield* stored(database.db)).toEqual([])
      yield* stop
      expect((yield* stored(database.db)).length).toBe(900)
      expect(shown).toEqual([])
    })
  )

  it.scopedLive("waits within its limit for a MongoDB that does not answer", () =>
    Effect.gen(function* () {
      const { database: name, uri } = yield* testMongo
      const database = yield* MongoDatabase.make({
        uri: Redacted.make(`${uri}${uri.includes("?") ? "&" : "?"}monitorCommands=true`),
        database: name,
        appName: name
      })
      const { run, shown, stop } = yield* startWriter(database, {
        gather: "1 hour",
        flushWithin: "100 millis"
      })
      yield* (yield* storeOf(database)).ensure
      yield* hang(database)
      yield* run(numbered(10, { session_id: "s" }))
      const answers: Array<string> = []
      database.client.on("commandSucceeded", ({ commandName }) => answers.push(commandName))
      database.client.on("commandFailed", ({ commandName }) => answers.push(commandName))
      yield* stop
      expect(answers).not.toContain("insert")
      expect(shown).toEqual(["10 log lines were not stored: MongoDB is too slow for them"])
    })
  )
})
