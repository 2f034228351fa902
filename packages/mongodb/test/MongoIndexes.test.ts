import { describe, expect, it } from "@effect/vitest"
import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Slot } from "@twinbox/outbox"
import { MessageFixture } from "@twinbox/testkit"
import { Effect } from "effect"
import { readVersion1, writeVersion1 } from "./version1.ts"
import { commit, enter, letter, processOn } from "./storeFixture.ts"
import { testDatabase } from "./testDatabase.ts"

const ensureIn = (database: MongoDatabase.MongoDatabase["Type"]) =>
  Effect.provideService(MongoIndexes.ensure, MongoDatabase.MongoDatabase, database)

const indexesOf = ({ db }: MongoDatabase.MongoDatabase["Type"], name: string) =>
  Effect.map(
    Effect.promise(() => db.collection(name).indexes()),
    (indexes) => new Map(indexes.map((index) => [String(index.name), index]))
  )

const countIn = ({ db }: MongoDatabase.MongoDatabase["Type"], name: string) =>
  Effect.promise(() => db.collection(name).countDocuments())

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
        const names = yield* Effect.forEach(["outbox", "outbox_dead", "outbox_delivered"], (name) =>
          Effect.map(indexesOf(database, name), (indexes) => [...indexes.keys()].toSorted())
        )
        expect(names).toEqual([
          ["_id_", "behind", "ready", "scheduled"],
          ["_id_", "at", "sink_slot_key"],
          ["_id_", "deliveredAt", "expireAt", "key_sequence_ordinal"]
        ])
        expect(yield* countIn(database, "outbox")).toBe(Slot.count)
        expect(yield* countIn(database, "outbox_leases")).toBe(Slot.count)
      })
  )

  it.scopedLive("has delivered messages expire at the time that each of them names", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      yield* ensureIn(database)
      const expiry = (yield* indexesOf(database, "outbox_delivered")).get("expireAt")
      expect(expiry).toMatchObject({ key: { expireAt: 1 }, expireAfterSeconds: 0 })
    })
  )

  it.scopedLive("makes the database refuse records that are no messages", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      yield* ensureIn(database)
      const outbox = database.db.collection<{ _id: string }>("outbox")
      const refusal = (fields: object) =>
        Effect.map(
          Effect.flip(Effect.tryPromise(() => outbox.insertOne({ _id: "foreign", ...fields }))),
          ({ error }) => String(error)
        )
      const message = yield* Effect.promise(() => outbox.findOne({ _id: "07/sentinel" }))
      const wellFormed = { ...message, _id: "well-formed", key: "customer/1" }
      yield* Effect.promise(() => outbox.insertOne(wellFormed))
      expect(yield* refusal({ key: 1, state: "ready" })).toContain("failed validation")
      const other = { ...wellFormed, _id: "foreign", ordinal: 1 }
      for (const fields of [
        { state: "unknown" },
        { availableAt: 1 },
        { behind: "mirror" },
        { marks: 1 },
        { history: [1] }
      ]) {
        expect(yield* refusal({ ...other, ...fields })).toContain("failed validation")
      }
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

  it.scopedLive("upgrades a database of version 1, with all that it holds", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      const [ready, behind, dead, next] = MessageFixture.ofKey("customer/1", 4)
      if (!ready || !behind || !dead || !next) return
      yield* writeVersion1(database, { ready, behind, dead, unclean: 9 })
      yield* Effect.all([ensureIn(database), ensureIn(database)], { concurrency: "unbounded" })
      expect(yield* readVersion1(database)).toEqual([])
      const sentinels = yield* Effect.promise(() =>
        database.db.collection<{ _id: string }>("outbox").find({ key: "" }).toArray()
      )
      expect(sentinels.map(({ _id }) => _id).toSorted()).toEqual(
        Slot.all.map((slot) => `${slot.toString(16).padStart(2, "0")}/sentinel`)
      )

      const relay = yield* processOn(database)
      expect(yield* relay.store.stats).toMatchObject({ ready: 1, behind: 1, dead: 1, scheduled: 0 })
      const { letters } = yield* relay.admin.deadLetters({ filter: {}, limit: 10 })
      expect(letters).toEqual([
        { ...letter(dead, "mirror"), key: dead.key, topic: dead.topic, sequence: dead.sequence }
      ])
      expect(yield* relay.admin.sinks).toEqual([{ name: "mirror", topics: ["a"], isMirror: false }])

      const lease = yield* enter(relay, "relay-a")
      expect(lease.epochs.size).toBe(Slot.count)
      // Epochs go on from where they were.
      expect(lease.epochs.get(9)).toBe(42)
      const { slots } = yield* relay.store.beat("relay-a", false)
      expect(slots.filter(({ suspect }) => suspect).map(({ slot }) => slot)).toEqual([9])
      expect(slots.every(({ changes }) => changes === 0)).toBe(true)
      yield* commit(relay, [next, { ...next, sequence: 5, id: "scheduled", availableAt: 1_000 }])
      yield* relay.store.settleBehind(lease, "mirror", { confirmed: [behind], dead: [] })
      expect(yield* relay.admin.requeue({})).toEqual({ requeued: 1, superseded: 0, corrupt: 0 })
      expect(yield* relay.store.stats).toMatchObject({ ready: 2, behind: 1, dead: 0, scheduled: 1 })
    })
  )
})
