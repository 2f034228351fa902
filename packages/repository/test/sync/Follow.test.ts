import { expect } from "@effect/vitest"
import { MongoDatabase } from "@twinbox/mongodb"
import type { TwinSync } from "@twinbox/repository"
import { Effect, Fiber } from "effect"
import { failNext } from "../../../mongodb/test/testDatabase.ts"
import { ada, anotherProcess, newId, suite } from "../testRepository.ts"
import {
  everything,
  type Foreign,
  foreign,
  insertForeign,
  inStep,
  makeRepository,
  makeSync,
  messagesByKey,
  newCollection,
  notInStep,
  until,
  upTo,
  using
} from "./testSync.ts"

const followRecord = (collection: string) =>
  using("sync_follow", (found) => found.findOne({ _id: collection }))

/** Waits until nothing of a first comparison is left. */
const settled = (collection: string) =>
  until(
    Effect.map(
      followRecord(collection),
      (record) => record?.["position"] !== undefined && record["run"] === undefined
    )
  )

/** Follows, and gathers what is worked on together. */
const following = (sync: TwinSync.TwinSync, options: TwinSync.FollowOptions = {}) =>
  Effect.gen(function* () {
    const flushes: Array<TwinSync.Flush> = []
    const fiber = yield* Effect.fork(
      sync.follow({
        flushAfter: "100 millis",
        onFlush: (flush) => Effect.sync(() => void flushes.push(flush)),
        ...options
      })
    )
    return { fiber, flushes }
  })

suite("Following a collection", (it) => {
  it.scoped("puts right at once what foreign programs insert, update, replace and delete", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const sync = yield* makeSync(collection)
      yield* following(sync)
      yield* settled(collection)
      const ids = upTo(30).map(() => newId())
      const id = (at: number) => ids[at] ?? ""
      yield* insertForeign(
        collection,
        ids.map((id) => foreign(id))
      )
      yield* inStep(collection)
      yield* using(collection, async (found) => {
        await found.updateOne({ _id: id(0) }, { $set: { lastName: "Byron" } })
        await found.replaceOne({ _id: id(1) }, { ...ada, visits: 7 })
        await found.deleteOne({ _id: id(2) })
      })
      yield* inStep(collection)
      const messages = yield* messagesByKey
      const sequences = (at: number) => messages.get(`customer/${id(at)}`)?.map(({ sequence }) => sequence)
      expect([0, 1, 2, 3].map(sequences)).toEqual([[1, 2], [1, 2], [1, 2], [1]])
      expect(messages.get(`customer/${id(2)}`)?.at(-1)?.["payload"]).toBeNull()
    })
  )

  it.scoped("reads the repository's own writes and leaves them alone", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const customers = yield* makeRepository(collection)
      const sync = yield* makeSync(collection)
      const { flushes } = yield* following(sync)
      yield* settled(collection)
      const saved = yield* customers.createMany(upTo(25).map(() => ada))
      for (const { _id } of saved.slice(0, 5)) yield* customers.update(_id, { visits: 1 })
      yield* customers.delete(saved[9]?._id ?? "")
      const before = yield* everything(collection)
      yield* until(Effect.sync(() => flushes.reduce((sum, { changed }) => sum + changed, 0) >= 25))
      expect(flushes.flatMap(({ reports }) => reports)).toEqual([])
      expect(yield* everything(collection)).toEqual(before)
    })
  )

  it.scoped("works on so many changes at once, and on fewer after a while", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const sync = yield* makeSync(collection, { batchSize: 20 })
      const many = yield* following(sync, { flushAfter: "1 hour" })
      yield* settled(collection)
      yield* insertForeign(
        collection,
        upTo(20).map(() => foreign(newId()))
      )
      yield* inStep(collection)
      expect(many.flushes[0]).toMatchObject({ changed: 20 })
      yield* Fiber.interrupt(many.fiber)
      const few = yield* following(sync, { flushAfter: "1 second" })
      const ids = upTo(3).map(() => newId())
      yield* insertForeign(
        collection,
        ids.map((id) => foreign(id))
      )
      yield* inStep(collection)
      const flush = few.flushes.find(({ reports }) => reports.some(({ id }) => id === ids[0]))
      expect(flush?.reports.filter(({ outcome }) => outcome === "Written").map(({ id }) => id)).toEqual(ids)
    })
  )

  it.scoped("an id that changes often is looked at once in a while", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const id = newId()
      yield* insertForeign(collection, [foreign(id)])
      const sync = yield* makeSync(collection, { batchSize: 1_000 })
      const { flushes } = yield* following(sync, { flushAfter: "400 millis" })
      yield* settled(collection)
      yield* using(collection, (found) =>
        found.bulkWrite(
          upTo(200).map((visits) => ({ updateOne: { filter: { _id: id }, update: { $set: { visits } } } }))
        )
      )
      yield* inStep(collection)
      expect(flushes.every(({ changed }) => changed === 1)).toBe(true)
      const messages = yield* messagesByKey
      expect(messages.get(`customer/${id}`)?.length).toBeLessThan(100)
    })
  )

  it.scoped("takes up what happened while nobody followed", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const ids = upTo(40).map(() => newId())
      yield* insertForeign(
        collection,
        ids.map((id) => foreign(id))
      )
      const sync = yield* makeSync(collection)
      const first = yield* following(sync)
      yield* settled(collection)
      yield* inStep(collection)
      yield* Fiber.interrupt(first.fiber)
      yield* using(collection, async (found) => {
        await found.updateMany({ _id: { $in: ids.slice(0, 10) } }, { $set: { visits: 5 } })
        await found.deleteMany({ _id: { $in: ids.slice(10, 15) } })
        await found.insertOne(foreign(newId()))
      })
      expect(yield* notInStep(collection)).toHaveLength(16)
      const run = yield* using("sync_runs", (found) => found.findOne({ _id: collection }))
      yield* following(sync)
      yield* inStep(collection)
      // By the stream, not by another comparison of everything.
      expect(yield* using("sync_runs", (found) => found.findOne({ _id: collection }))).toEqual(run)
    })
  )

  it.scoped("takes up what was under way when it was stopped", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const id = newId()
      const sync = yield* makeSync(collection)
      const first = yield* following(sync, { flushAfter: "500 millis" })
      yield* settled(collection)
      yield* insertForeign(collection, [foreign(id)])
      // As long as somebody else has it locked, it cannot be written.
      const { client, db } = yield* MongoDatabase.MongoDatabase
      const session = client.startSession()
      yield* Effect.promise(() => {
        session.startTransaction()
        return db.collection<Foreign>(collection).updateOne({ _id: id }, { $set: { visits: 5 } }, { session })
      })
      yield* Effect.sleep("1 second")
      yield* Fiber.interrupt(first.fiber)
      expect(first.flushes).toEqual([])
      yield* Effect.promise(() => session.endSession())
      expect(yield* notInStep(collection)).toEqual([id])
      yield* following(sync)
      yield* inStep(collection)
    })
  )

  it.scoped("begins where the last reindex began, when nobody has followed before", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const ids = upTo(10).map(() => newId())
      yield* insertForeign(
        collection,
        ids.map((id) => foreign(id))
      )
      const sync = yield* makeSync(collection)
      yield* sync.reindex()
      yield* using(collection, (found) => found.updateMany({}, { $set: { visits: 3 } }))
      yield* following(sync)
      yield* inStep(collection)
      expect(yield* using("sync_runs", (found) => found.findOne({ _id: collection }))).toMatchObject({
        run: 1
      })
    })
  )

  it.scoped("is done by one instance; another takes over when that one stops, or falls silent", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const mine = yield* makeSync(collection, { lease: "3 seconds" })
      const theirs = yield* Effect.provide(
        makeSync(collection, { lease: "3 seconds" }),
        yield* anotherProcess
      )
      const first = yield* following(mine)
      yield* settled(collection)
      const second = yield* following(theirs)
      yield* insertForeign(
        collection,
        upTo(5).map(() => foreign(newId()))
      )
      yield* inStep(collection)
      yield* Effect.sleep("300 millis")
      expect(second.flushes).toEqual([])
      const owner = String((yield* followRecord(collection))?.["owner"])
      expect(yield* using("sync_members", (found) => found.findOne({ _id: owner }))).not.toBeNull()
      yield* Fiber.interrupt(first.fiber)
      expect(yield* using("sync_members", (found) => found.findOne({ _id: owner }))).toBeNull()
      yield* insertForeign(
        collection,
        upTo(5).map(() => foreign(newId()))
      )
      yield* inStep(collection)
      expect(second.flushes.length).toBeGreaterThan(0)
      // One that was killed leaves its name and its heartbeat behind.
      yield* Fiber.interrupt(second.fiber)
      yield* using("sync_follow", (found) =>
        found.updateOne({ _id: collection }, { $set: { owner: "killed" } })
      )
      yield* using("sync_members", (found) =>
        found.insertOne({ _id: "killed", counter: 1, leaseMillis: 3_000 })
      )
      yield* following(mine)
      yield* insertForeign(
        collection,
        upTo(5).map(() => foreign(newId()))
      )
      yield* inStep(collection)
    })
  )

  it.scoped(
    "several instances that reindex and follow at once end with everything in step, and no message twice",
    () =>
      Effect.gen(function* () {
        const collection = newCollection()
        const prefix = newId()
        const mine = yield* makeSync(collection)
        const theirs = yield* Effect.provide(makeSync(collection), yield* anotherProcess)
        yield* insertForeign(
          collection,
          upTo(150).map((at) => foreign(`${prefix}-${at}`))
        )
        yield* following(mine)
        yield* following(theirs)
        yield* Effect.all([mine.reindex(), theirs.reindex(), theirs.reindex({ fresh: true })], {
          concurrency: 3
        })
        yield* using(collection, (found) => found.updateMany({}, { $set: { visits: 9 } }))
        yield* inStep(collection)
        const messages = yield* messagesByKey
        for (const at of upTo(150)) {
          const payloads = messages
            .get(`customer/${prefix}-${at}`)
            ?.map(({ payload }) => withoutVersion(payload))
          expect(new Set(payloads).size).toBe(payloads?.length)
        }
      })
  )

  it.scoped("goes on after MongoDB was away", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const sync = yield* makeSync(collection, { patience: "300 millis" })
      yield* following(sync)
      yield* settled(collection)
      const other = yield* anotherProcess
      yield* failNext(yield* MongoDatabase.MongoDatabase, 14, {
        failCommands: ["find", "getMore", "aggregate", "commitTransaction"],
        errorCode: 189
      })
      yield* Effect.provide(
        Effect.zipRight(insertForeign(collection, [foreign(newId()), foreign(newId())]), inStep(collection)),
        other
      )
    })
  )

  it.scoped("compares everything anew when the collection was dropped", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      const ids = upTo(20).map(() => newId())
      yield* insertForeign(
        collection,
        ids.map((id) => foreign(id))
      )
      const sync = yield* makeSync(collection)
      yield* following(sync)
      yield* settled(collection)
      yield* inStep(collection)
      yield* using(collection, async (found) => {
        await found.drop()
        await found.insertMany(ids.slice(0, 5).map((id) => foreign(id, { visits: 4 })))
      })
      yield* inStep(collection)
      yield* settled(collection)
      expect(yield* using(`${collection}_anonymised`, (found) => found.countDocuments())).toBe(5)
    })
  )

  it.scoped("goes on with a comparison of everything that was cut off", () =>
    Effect.gen(function* () {
      const collection = newCollection()
      yield* insertForeign(
        collection,
        upTo(60).map(() => foreign(newId()))
      )
      const sync = yield* makeSync(collection)
      const first = yield* following(sync, { reindex: { maxPerSecond: 20 } })
      yield* until(
        Effect.map(
          using("sync_ranges", (found) => found.findOne({ collection, "tally.examined": { $gt: 0 } })),
          (range) => range !== null
        )
      )
      yield* Fiber.interrupt(first.fiber)
      expect(yield* followRecord(collection)).toMatchObject({ run: 1 })
      yield* following(sync)
      yield* settled(collection)
      expect(yield* notInStep(collection)).toEqual([])
      expect(yield* using("sync_runs", (found) => found.findOne({ _id: collection }))).toMatchObject({
        run: 1,
        state: "done"
      })
    })
  )
})

const withoutVersion = (payload: unknown): string =>
  payload === null ? "null" : JSON.stringify({ ...(JSON.parse(String(payload)) as object), version: 0 })
