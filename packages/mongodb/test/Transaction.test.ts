import { describe, expect, it } from "@effect/vitest"
import { MongoDatabase, MongoError, MongoIndexes, Transaction } from "@twinbox/mongodb"
import type { Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Deferred, Effect, Exit, Fiber, type Scope } from "effect"
import { failNext, testDatabase } from "./testDatabase.ts"

interface Doc {
  readonly _id: string
  readonly value?: number
  readonly email?: string
}

const setUp = Effect.gen(function* () {
  const database = yield* testDatabase
  const provided = Effect.provideService(MongoDatabase.MongoDatabase, database)
  yield* provided(MongoIndexes.ensureCollections(["docs"]))
  const docs = database.db.collection<Doc>("docs")
  const insert = (document: Doc) => Transaction.use((session) => docs.insertOne(document, { session }))
  const bump = (id: string) =>
    Transaction.use((session) => docs.updateOne({ _id: id }, { $inc: { value: 1 } }, { session }))
  const all = Effect.promise(() => docs.find().sort({ _id: 1 }).toArray())
  const ids = Effect.map(all, (found) => found.map(({ _id }) => _id))
  const run = <A, E>(
    body: Effect.Effect<A, E, OutboxTransaction.Transaction | MongoDatabase.MongoDatabase>,
    options?: Transaction.Options
  ) => provided(Transaction.run(body, options))
  return { database, docs, insert, bump, all, ids, run }
})

type SetUp = Effect.Effect.Success<typeof setUp>

const test = (name: string, body: (given: SetUp) => Effect.Effect<void, unknown, Scope.Scope>) =>
  it.scopedLive(name, () => Effect.flatMap(setUp, body) as Effect.Effect<void, unknown, Scope.Scope>)

const transient = { errorCode: 251, errorLabels: ["TransientTransactionError"] }
/**
 * The commit happens, and the reply does not say so. Not an error by which the driver takes the server for
 * lost: it would wait for the next heartbeat, up to ten seconds.
 */
const unknownCommit = {
  failCommands: ["commitTransaction"],
  writeConcernError: { code: 64, errmsg: "waiting for replication timed out" }
}

describe("Transaction.run", () => {
  test("commits all writes at the success of the body and returns its value", ({ ids, insert, run }) =>
    Effect.gen(function* () {
      const value = yield* run(Effect.as(Effect.zipRight(insert({ _id: "a" }), insert({ _id: "b" })), 42))
      expect(value).toBe(42)
      expect(yield* ids).toEqual(["a", "b"])
    }))

  test("writes nothing when the body fails, and fails as it did", ({ ids, insert, run }) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(run(Effect.zipRight(insert({ _id: "a" }), Effect.fail("no" as const))))
      expect(error).toBe("no")
      expect(yield* ids).toEqual([])
    }))

  test("writes nothing when the body dies", ({ ids, insert, run }) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(run(Effect.zipRight(insert({ _id: "a" }), Effect.dieMessage("bug"))))
      expect(Exit.isFailure(exit)).toBe(true)
      expect(yield* ids).toEqual([])
    }))

  test("writes nothing when it is interrupted, also with an operation in flight", ({
    database,
    ids,
    insert,
    run
  }) =>
    Effect.gen(function* () {
      const inserted = yield* Deferred.make<void>()
      yield* failNext(database, 1, { failCommands: ["update"], blockConnection: true, blockTimeMS: 300 })
      const fiber = yield* Effect.fork(
        run(
          insert({ _id: "a" }).pipe(
            Effect.tap(() => Deferred.succeed(inserted, undefined)),
            Effect.zipRight(
              Transaction.use((session) =>
                database.db
                  .collection<Doc>("docs")
                  .updateOne({ _id: "a" }, { $set: { value: 1 } }, { session })
              )
            )
          )
        )
      )
      yield* Deferred.await(inserted)
      yield* Effect.sleep("50 millis")
      yield* Fiber.interrupt(fiber)
      expect(yield* ids).toEqual([])
      // The session is usable no more: a later transaction on the same document meets no leftover lock.
      yield* run(insert({ _id: "a" }))
      expect(yield* ids).toEqual(["a"])
    }))

  test("joins the transaction around it: the inner writes go with the outer failure", ({
    ids,
    insert,
    run
  }) =>
    Effect.gen(function* () {
      yield* Effect.ignore(run(Effect.zipRight(run(insert({ _id: "inner" })), Effect.fail("outer"))))
      expect(yield* ids).toEqual([])
      yield* run(Effect.zipRight(run(insert({ _id: "inner" })), insert({ _id: "outer" })))
      expect(yield* ids).toEqual(["inner", "outer"])
    }))

  test("is lost with an operation that failed, also when the body catches its error and goes on", ({
    ids,
    insert,
    run
  }) =>
    Effect.gen(function* () {
      yield* run(insert({ _id: "taken" }))
      let runs = 0
      const refused = Effect.zipRight(
        Effect.sync(() => (runs += 1)),
        Effect.ignore(insert({ _id: "taken" }))
      )
      for (const body of [refused, Effect.zipRight(refused, insert({ _id: "other" }))]) {
        expect(yield* Effect.flip(run(body))).toMatchObject({ _tag: "DuplicateKey", fields: ["_id"] })
      }
      const own = yield* Effect.flip(run(Effect.zipRight(refused, Effect.fail("own" as const))))
      expect(own).toBe("own")
      expect(runs).toBe(3)
      expect(yield* ids).toEqual(["taken"])
    }))

  test("runs again when the body catches a transient error", ({ database, ids, insert, run }) =>
    Effect.gen(function* () {
      yield* failNext(database, 1, { failCommands: ["insert"], ...transient })
      yield* run(Effect.ignore(insert({ _id: "a" })))
      expect(yield* ids).toEqual(["a"])
    }))

  test("keeps groups of operations together that parallel fibers start", ({ all, docs, insert, run }) =>
    Effect.gen(function* () {
      yield* run(insert({ _id: "a", value: 0 }))
      const increment = Effect.gen(function* () {
        const found = yield* Transaction.use((session) => docs.findOne({ _id: "a" }, { session }))
        const value = (found?.value ?? 0) + 1
        yield* Transaction.use((session) => docs.updateOne({ _id: "a" }, { $set: { value } }, { session }))
      })
      yield* run(
        Effect.forEach([1, 2, 3, 4, 5], () => Transaction.together(increment), {
          concurrency: "unbounded",
          discard: true
        })
      )
      expect(yield* all).toEqual([{ _id: "a", value: 5 }])
    }))

  test("runs operations that are started in parallel one after another", ({ ids, insert, run }) =>
    Effect.gen(function* () {
      const names = ["a", "b", "c", "d", "e", "f"]
      yield* run(Effect.forEach(names, (_id) => insert({ _id }), { concurrency: "unbounded", discard: true }))
      expect(yield* ids).toEqual(names)
    }))

  test("runs again when one fiber of the body met a transient error, which ended the others", ({
    database,
    ids,
    insert,
    run
  }) =>
    Effect.gen(function* () {
      yield* failNext(database, 1, { failCommands: ["insert"], ...transient })
      let runs = 0
      const others = Effect.suspend(() => (++runs === 1 ? Effect.never : Effect.void))
      yield* run(Effect.all([insert({ _id: "a" }), others], { concurrency: "unbounded", discard: true }))
      expect(yield* ids).toEqual(["a"])
    }))

  test("runs the whole body again on a transient error", ({ database, ids, insert, run }) =>
    Effect.gen(function* () {
      let runs = 0
      yield* failNext(database, 2, { failCommands: ["insert"], ...transient })
      yield* run(
        Effect.zipRight(
          Effect.sync(() => (runs += 1)),
          insert({ _id: "a" })
        )
      )
      expect(runs).toBe(3)
      expect(yield* ids).toEqual(["a"])
    }))

  test("lets many writers of one document through, each once", ({ all, bump, insert, run }) =>
    Effect.gen(function* () {
      yield* run(insert({ _id: "hot", value: 0 }))
      yield* Effect.forEach(Array.from({ length: 12 }), () => run(bump("hot")), { concurrency: "unbounded" })
      expect(yield* all).toEqual([{ _id: "hot", value: 12 }])
    }))

  test("gives up with WriteContention when writers meet at every attempt", ({
    all,
    bump,
    database,
    insert,
    run
  }) =>
    Effect.gen(function* () {
      yield* run(insert({ _id: "hot", value: 0 }))
      yield* failNext(database, 3, { failCommands: ["update"], ...transient, errorCode: 112 })
      const error = yield* Effect.flip(run(bump("hot"), { maxAttempts: 3 }))
      expect(error).toBeInstanceOf(MongoError.WriteContention)
      expect(error).toMatchObject({ attempts: 3, retryable: true })
      expect(yield* all).toEqual([{ _id: "hot", value: 0 }])
    }))

  test("sends only the commit again when its outcome is unknown; the body runs once", ({
    all,
    bump,
    database,
    insert,
    run
  }) =>
    Effect.gen(function* () {
      yield* run(insert({ _id: "a", value: 0 }))
      let runs = 0
      yield* failNext(database, 5, unknownCommit)
      yield* run(
        Effect.zipRight(
          Effect.sync(() => (runs += 1)),
          bump("a")
        )
      )
      expect(runs).toBe(1)
      expect(yield* all).toEqual([{ _id: "a", value: 1 }])
    }))

  test("fails with CommitUnknown when the outcome stays unknown; the body runs once", ({
    all,
    bump,
    database,
    insert,
    run
  }) =>
    Effect.gen(function* () {
      yield* run(insert({ _id: "a", value: 0 }))
      let runs = 0
      yield* failNext(database, 1_000, unknownCommit)
      const error = yield* Effect.flip(
        run(
          Effect.zipRight(
            Effect.sync(() => (runs += 1)),
            bump("a")
          ),
          { commitWithin: "300 millis" }
        )
      )
      expect(error).toBeInstanceOf(MongoError.CommitUnknown)
      expect(runs).toBe(1)
      // It did commit, once: running the body again would have made it 2.
      expect(yield* all).toEqual([{ _id: "a", value: 1 }])
    }))

  test("survives a connection that is cut in the middle", ({ database, ids, insert, run }) =>
    Effect.gen(function* () {
      yield* failNext(database, 1, { failCommands: ["insert"], closeConnection: true })
      yield* run(insert({ _id: "a" }))
      expect(yield* ids).toEqual(["a"])
    }))

  test("names the fields of a duplicate key and never their values", ({ docs, insert, run }) =>
    Effect.gen(function* () {
      yield* Effect.promise(() => docs.createIndex({ email: 1 }, { unique: true }))
      yield* run(insert({ _id: "a", email: "ann@secret.example" }))
      const error = yield* Effect.flip(run(insert({ _id: "b", email: "ann@secret.example" })))
      expect(error).toMatchObject({ _tag: "DuplicateKey", collection: "docs", fields: ["email"] })
      expect(JSON.stringify(error) + String(error)).not.toContain("secret")
    }))

  test("refuses a document over 16 MB with TransactionTooLarge and writes nothing", ({ ids, insert, run }) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        run(Effect.zipRight(insert({ _id: "a" }), insert({ _id: "b", email: "x".repeat(17 * 1024 * 1024) })))
      )
      expect(error).toBeInstanceOf(MongoError.TransactionTooLarge)
      expect(yield* ids).toEqual([])
    }))
})
