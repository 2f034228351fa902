import { describe, expect, it } from "@effect/vitest"
import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Slot } from "@twinbox/outbox"
import { Effect } from "effect"
import { testDatabase } from "./testDatabase.ts"

const ensureIn = (database: MongoDatabase.MongoDatabase["Type"]) =>
  Effect.provideService(MongoIndexes.ensure, MongoDatabase.MongoDatabase, database)

describe("MongoIndexes", () => {
  it.scopedLive(
    "makes collections, indexes, sentinels and leases, also from several processes at once and again",
    () =>
      Effect.gen(function* () {
        const database = yield* testDatabase
        yield* Effect.all([ensureIn(database), ensureIn(database), ensureIn(database)], {
          concurrency: "unbounded"
        })
        yield* ensureIn(database)
        const { db } = database
        const indexes = yield* Effect.promise(() => db.collection("outbox").indexes())
        expect(indexes.map(({ name }) => name).toSorted()).toEqual(["_id_", "behind", "ready"])
        expect(yield* Effect.promise(() => db.collection("outbox").countDocuments())).toBe(Slot.count)
        expect(yield* Effect.promise(() => db.collection("outbox_leases").countDocuments())).toBe(Slot.count)
      })
  )

  it.scopedLive("makes the database refuse records that are no messages", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      yield* ensureIn(database)
      const refused = yield* Effect.flip(
        Effect.tryPromise(() => database.db.collection("outbox").insertOne({ key: 1, state: "ready" }))
      )
      expect(String(refused.error)).toContain("failed validation")
    })
  )

  it.scopedLive("lets a read of one slot stop at its sentinel: nothing of other slots is examined", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      yield* ensureIn(database)
      const plan = yield* Effect.promise(() =>
        database.db
          .collection("outbox")
          .find({ state: "ready", slot: 7 })
          .hint("ready")
          .sort({ slot: 1, key: 1, sequence: 1, ordinal: 1 })
          .explain("executionStats")
      )
      expect(plan["executionStats"]).toMatchObject({ totalKeysExamined: 1, nReturned: 1 })
    })
  )
})
