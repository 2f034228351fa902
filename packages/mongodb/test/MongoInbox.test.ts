import { describe, expect, it } from "@effect/vitest"
import { MongoDatabase, MongoInbox, MongoIndexes, Transaction } from "@twinbox/mongodb"
import type { Inbox } from "@twinbox/outbox"
import { InboxConformance, MessageFixture } from "@twinbox/testkit"
import { Duration, Effect, Redacted } from "effect"
import { testMongo } from "../../../test/setup/testServers.ts"
import { failNext, testDatabase } from "./testDatabase.ts"

interface Counter {
  readonly _id: string
  readonly value: number
}

const harnessOver = (database: MongoDatabase.MongoDatabase["Type"], options: Inbox.Options) =>
  Effect.gen(function* () {
    const provided = Effect.provideService(MongoDatabase.MongoDatabase, database)
    yield* provided(MongoInbox.ensure)
    yield* provided(MongoIndexes.ensureCollections(["counters"]))
    const inbox = yield* provided(MongoInbox.make(options))
    const counters = database.db.collection<Counter>("counters")
    const records = database.db.collection<{ _id: string; expireAt: Date }>(MongoInbox.collection)
    const harness: InboxConformance.InboxHarness = {
      inbox,
      transact: (body) => provided(Transaction.run(body)) as never,
      increment: Transaction.use((session) =>
        counters.updateOne({ _id: "total" }, { $inc: { value: 1 } }, { session, upsert: true })
      ),
      total: Effect.promise(async () => (await counters.findOne({ _id: "total" }))?.value ?? 0),
      age: (duration) =>
        Effect.promise(async () => {
          const sooner = { $subtract: ["$expireAt", Duration.toMillis(duration)] }
          await records.updateMany({ expireAt: { $exists: true } }, [{ $set: { expireAt: sooner } }])
          // What the index does, without waiting for the server's next round.
          await records.deleteMany({ $expr: { $lte: ["$expireAt", "$$NOW"] }, expireAt: { $exists: true } })
        })
    }
    return harness
  })

InboxConformance.suite("MongoDB", (options) =>
  Effect.flatMap(testDatabase, (database) => harnessOver(database, options))
)

const setUp = (options: Inbox.Options = {}) =>
  Effect.gen(function* () {
    const database = yield* testDatabase
    return { ...(yield* harnessOver(database, options)), database }
  })

const consumer = { name: "billing" }
const message = MessageFixture.make({ id: "m-1", key: "customer/1", sequence: 3, ordinal: 1 })

describe("MongoInbox.ensure", () => {
  it.scopedLive("makes what is missing, also when several start at once and again", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      const ensure = Effect.provideService(MongoInbox.ensure, MongoDatabase.MongoDatabase, database)
      yield* Effect.all(
        Array.from({ length: 5 }, () => ensure),
        { concurrency: "unbounded" }
      )
      yield* ensure
      const indexes = yield* Effect.promise(() => database.db.collection(MongoInbox.collection).indexes())
      expect(indexes).toMatchObject([
        { key: { _id: 1 } },
        { key: { expireAt: 1 }, expireAfterSeconds: 0, name: "expiry" }
      ])
    })
  )
})

describe("A record of the inbox", () => {
  it.scopedLive("holds no more than names, place and expiry by the server's clock", () =>
    Effect.gen(function* () {
      const { database, inbox, transact } = yield* setUp({ keepFor: "1 hour" })
      const serverNow = Effect.promise(
        async () => (await database.db.admin().command({ hello: 1 }))["localTime"]
      )
      const before: Date = yield* serverNow
      yield* transact(inbox.once(consumer, message, Effect.void))
      const after: Date = yield* serverNow
      const records = yield* Effect.promise(() =>
        database.db.collection<{ _id: string }>(MongoInbox.collection).find().sort({ _id: 1 }).toArray()
      )
      expect(records).toEqual([
        { _id: "key:billing:customer/1", sequence: 3, ordinal: 1 },
        { _id: "message:billing:m-1", expireAt: expect.any(Date) }
      ])
      const [, { expireAt }] = records as unknown as [unknown, { expireAt: Date }]
      const hour = 3_600_000
      expect(expireAt.getTime()).toBeGreaterThanOrEqual(before.getTime() + hour)
      expect(expireAt.getTime()).toBeLessThanOrEqual(after.getTime() + hour)
    })
  )

  it.scopedLive("of a key loses its end when guards are to be kept for ever from now on", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      const guardOf = (sequence: number, options: Inbox.Options) =>
        Effect.gen(function* () {
          const { inbox, transact } = yield* harnessOver(database, options)
          yield* transact(inbox.once(consumer, MessageFixture.make({ sequence }), Effect.void))
          return yield* Effect.promise(() =>
            database.db
              .collection<{ _id: string }>(MongoInbox.collection)
              .findOne({ _id: "key:billing:customer/1" })
          )
        })
      expect(yield* guardOf(1, { keepGuardsFor: "1 hour" })).toMatchObject({ expireAt: expect.any(Date) })
      expect(yield* guardOf(2, {})).toEqual({ _id: "key:billing:customer/1", sequence: 2, ordinal: 0 })
    })
  )
})

/** An inbox, and the commands that its client sends. */
const watched = Effect.gen(function* () {
  const { database: name, uri } = yield* testMongo
  const database = yield* MongoDatabase.make({
    uri: Redacted.make(`${uri}${uri.includes("?") ? "&" : "?"}monitorCommands=true`),
    database: name
  })
  const harness = yield* harnessOver(database, {})
  const commands: Array<string> = []
  database.client.on("commandStarted", ({ commandName }) => void commands.push(commandName))
  return { ...harness, commands }
})

describe("MongoInbox.once", () => {
  it.scopedLive("shares two round trips among messages of different keys that come at the same time", () =>
    Effect.gen(function* () {
      const { commands, inbox, transact } = yield* watched
      const messages = ["1", "2", "3"].map((id) => MessageFixture.make({ id, key: `customer/${id}` }))
      const applyAll = transact(
        Effect.forEach(messages, (one) => inbox.once(consumer, one, Effect.void), {
          concurrency: "unbounded"
        })
      )
      expect((yield* applyAll).map(({ _tag }) => _tag)).toEqual(["Applied", "Applied", "Applied"])
      expect(commands.splice(0)).toEqual(["find", "update", "commitTransaction"])
      expect((yield* applyAll).map(({ _tag }) => _tag)).toEqual(["Duplicate", "Duplicate", "Duplicate"])
      expect(commands.splice(0)).toEqual(["find", "commitTransaction"])
    })
  )

  it.scopedLive("judges messages of one key that come at the same time one after the other", () =>
    Effect.gen(function* () {
      const { increment, inbox, total, transact } = yield* setUp()
      const messages = [3, 2, 3, 4].map((sequence, at) =>
        MessageFixture.make({ id: `m-${at}`, key: "customer/1", sequence })
      )
      const outcomes = yield* transact(
        Effect.forEach(messages, (one) => inbox.once(consumer, one, increment), {
          concurrency: "unbounded"
        })
      )
      expect(outcomes.map(({ _tag }) => _tag)).toEqual(["Applied", "Stale", "Duplicate", "Applied"])
      expect(yield* total).toBe(2)
    })
  )

  it.scopedLive("takes two round trips for a new message and one for another", () =>
    Effect.gen(function* () {
      const { commands, inbox, transact } = yield* watched
      const apply = transact(inbox.once(consumer, message, Effect.void))
      yield* apply
      expect(commands.splice(0)).toEqual(["find", "update", "commitTransaction"])
      yield* apply
      expect(commands.splice(0)).toEqual(["find", "commitTransaction"])
    })
  )

  it.scopedLive("takes one round trip for a message without a guard, and leaves what it noted as it is", () =>
    Effect.gen(function* () {
      const { commands, inbox, transact } = yield* watched
      const apply = transact(inbox.once({ name: "mailer", guard: "none" }, message, Effect.void))
      expect((yield* apply)._tag).toBe("Applied")
      expect(commands.splice(0)).toEqual(["update", "commitTransaction"])
      expect((yield* apply)._tag).toBe("Duplicate")
      expect(commands.splice(0)).toEqual(["update", "commitTransaction"])
    })
  )

  it.scopedLive("runs the effect again with its transaction, and notes the message once", () =>
    Effect.gen(function* () {
      const { database, inbox, increment, total, transact } = yield* setUp()
      let runs = 0
      const effect = Effect.zipRight(
        Effect.sync(() => (runs += 1)),
        increment
      )
      yield* failNext(database, 2, {
        failCommands: ["commitTransaction"],
        errorCode: 251,
        errorLabels: ["TransientTransactionError"]
      })
      expect((yield* transact(inbox.once(consumer, message, effect)))._tag).toBe("Applied")
      expect(runs).toBe(3)
      expect(yield* total).toBe(1)
      expect((yield* transact(inbox.once(consumer, message, effect)))._tag).toBe("Duplicate")
    })
  )

  it.scopedLive("says in a typed error why the database refused", () =>
    Effect.gen(function* () {
      const { database, inbox, total, increment, transact } = yield* setUp()
      yield* failNext(database, 1, { failCommands: ["find"], errorCode: 13 })
      const error = yield* Effect.flip(transact(inbox.once(consumer, message, increment)))
      expect(error).toMatchObject({ _tag: "InboxError", reason: "Refused", retryable: false })
      expect(yield* total).toBe(0)
    })
  )
})
