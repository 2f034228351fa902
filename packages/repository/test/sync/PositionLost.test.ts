import { describe, expect, it } from "@effect/vitest"
import { MongoDatabase, MongoOutbox } from "@twinbox/mongodb"
import { Effect, Fiber, Layer, Logger, Metric, Redacted, Schedule } from "effect"
import { SyncMetrics } from "@twinbox/repository"
import { ownMongo } from "../../../../test/setup/ownMongo.ts"
import { newId } from "../testRepository.ts"
import { foreign, inStep, insertForeign, makeSync, notInStep, until, upTo, using } from "./testSync.ts"

/** A MongoDB whose oplog is as small as can be: 20 MB of writes make it lose its beginning. */
const smallOplog = Layer.unwrapScoped(
  Effect.gen(function* () {
    const { uri } = yield* ownMongo({ oplogMegabytes: 1, arguments: ["--syncdelay", "1"] })
    return MongoOutbox.layer({ uri: Redacted.make(uri), database: "small", appName: "small" })
  })
)

const oldestEntry = Effect.flatMap(MongoDatabase.MongoDatabase, ({ client }) =>
  Effect.promise(() =>
    client
      .db("local")
      .collection("oplog.rs")
      .findOne({}, { sort: { $natural: 1 }, projection: { ts: 1 } })
  )
)

const position = Effect.map(
  using("sync_follow", (found) => found.findOne({ _id: "customers" })),
  (record) => record?.["position"] as { readonly token?: { readonly _data: string } } | undefined
)

/** Writes to something else until the oplog has forgotten all that it holds now. */
const rollOver = Effect.gen(function* () {
  const before = yield* oldestEntry
  const newest = yield* Effect.flatMap(MongoDatabase.MongoDatabase, ({ client }) =>
    Effect.promise(() =>
      client
        .db("local")
        .collection("oplog.rs")
        .findOne({}, { sort: { $natural: -1 } })
    )
  )
  const write = using("noise", (found) =>
    found.insertMany(upTo(8).map((at) => ({ _id: `${Math.random()}-${at}`, text: "x".repeat(500_000) })))
  )
  const hasForgotten = Effect.map(
    oldestEntry,
    (oldest) => oldest?.["ts"].greaterThan(newest?.["ts"]) === true
  )
  yield* Effect.repeat(Effect.zipRight(write, hasForgotten), {
    until: (yes) => yes,
    schedule: Schedule.spaced("100 millis")
  })
  expect((yield* oldestEntry)?.["ts"].greaterThan(before?.["ts"])).toBe(true)
})

const gauge = (metric: Metric.Metric.Gauge<number>) =>
  Effect.map(Metric.value(Metric.tagged(metric, "collection", "customers")), ({ value }) => value)

describe("When the oplog no longer holds the place up to which a collection was followed", () => {
  it.scopedLive("this is said, everything is compared, and nothing that happened meanwhile is missed", () => {
    const lines: Array<string> = []
    const log = Logger.make(({ message }) => void lines.push(String(message)))
    return Effect.gen(function* () {
      const ids = upTo(200).map(() => newId())
      yield* insertForeign(
        "customers",
        ids.map((id) => foreign(id))
      )
      const sync = yield* makeSync("customers", { batchSize: 50 })
      const first = yield* Effect.fork(sync.follow({ flushAfter: "50 millis" }))
      yield* until(Effect.map(position, (found) => found?.token !== undefined))
      yield* inStep("customers")
      yield* until(Effect.map(gauge(SyncMetrics.headRoom), (seconds) => seconds >= 0))
      yield* Fiber.interrupt(first)

      yield* using("customers", async (found) => {
        await found.updateMany({ _id: { $in: ids.slice(0, 20) } }, { $set: { visits: 8 } })
        await found.deleteMany({ _id: { $in: ids.slice(20, 30) } })
        await found.insertMany(upTo(10).map(() => foreign(newId())))
      })
      yield* rollOver
      expect(yield* notInStep("customers")).toHaveLength(40)
      expect(lines.filter((line) => line.includes("is lost"))).toEqual([])

      yield* Effect.fork(sync.follow({ flushAfter: "50 millis" }))
      yield* inStep("customers")
      const line = lines.find((one) => one.includes("is lost"))
      expect(line).toContain("'customers'")
      expect(line).toContain("the oplog no longer holds it")
      expect(line).toContain("everything is compared")

      // It goes on from there.
      yield* until(Effect.sync(() => lines.some((one) => one.includes("was compared as a whole"))))
      yield* insertForeign("customers", [foreign(newId())])
      yield* inStep("customers")
      expect(yield* sync.verify({ recheckAfter: 0 })).toMatchObject({ standing: 0 })
    }).pipe(Effect.provide(Layer.merge(smallOplog, Logger.replace(Logger.defaultLogger, log))))
  })
})
