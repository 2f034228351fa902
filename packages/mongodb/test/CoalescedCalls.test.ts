import { describe, expect, it } from "@effect/vitest"
import { CoalescedCalls, MongoDatabase, type MongoError, MongoIndexes, Transaction } from "@twinbox/mongodb"
import type { Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { failNext, testDatabase } from "./testDatabase.ts"

interface Doc {
  readonly _id: string
  readonly owner?: string
}

class Refused {
  readonly _tag = "Refused"
}

/** Inserts documents, and tells in which calls; those whose id begins with `no` are refused one by one. */
const setUp = Effect.gen(function* () {
  const database = yield* testDatabase
  const provided = Effect.provideService(MongoDatabase.MongoDatabase, database)
  yield* provided(MongoIndexes.ensureCollections(["docs"]))
  const docs = database.db.collection<Doc>("docs")
  const calls: Array<ReadonlyArray<string>> = []
  const insert = CoalescedCalls.make<Doc, string, MongoError.MongoError | Refused>({
    idOf: ({ _id, owner }) => owner ?? _id,
    run: (items) =>
      Effect.gen(function* () {
        calls.push(items.map(({ _id }) => _id))
        const accepted = items.filter(({ _id }) => !_id.startsWith("no"))
        if (accepted.length > 0) yield* Transaction.use((session) => docs.insertMany(accepted, { session }))
        return items.map(({ _id }) => (_id.startsWith("no") ? Exit.fail(new Refused()) : Exit.succeed(_id)))
      })
  })
  const ids = Effect.promise(async () => (await docs.find().sort({ _id: 1 }).toArray()).map(({ _id }) => _id))
  const run = <A, E>(
    body: Effect.Effect<A, E, OutboxTransaction.Transaction | MongoDatabase.MongoDatabase>
  ) => provided(Transaction.run(body))
  return { calls, database, ids, insert, run }
})

const inParallel = { concurrency: "unbounded" } as const

describe("Calls of fibers of one transaction", () => {
  it.scopedLive("that come at the same time are made as one, and each gets its own result", () =>
    Effect.gen(function* () {
      const { calls, ids, insert, run } = yield* setUp
      const names = ["c", "a", "b"]
      expect(yield* run(Effect.forEach(names, (_id) => insert({ _id }), inParallel))).toEqual(names)
      expect(calls).toEqual([names])
      expect(yield* ids).toEqual(["a", "b", "c"])
    })
  )

  it.scopedLive("are gathered while one is under way", () =>
    Effect.gen(function* () {
      const { calls, insert, run } = yield* setUp
      const steps = ["1", "2", "3"]
      const walk = (name: string) => Effect.forEach(steps, (step) => insert({ _id: `${name}${step}` }))
      yield* run(Effect.forEach(["a", "b"], walk, inParallel))
      expect(calls).toEqual([
        ["a1", "b1"],
        ["a2", "b2"],
        ["a3", "b3"]
      ])
    })
  )

  it.scopedLive("of one id are made one after another, in the order in which they came", () =>
    Effect.gen(function* () {
      const { calls, insert, run } = yield* setUp
      const all = ["x1", "x2", "y1", "x3"].map((_id) => ({ _id, owner: _id.slice(0, 1) }))
      yield* run(Effect.forEach(all, insert, inParallel))
      expect(calls).toEqual([["x1", "y1"], ["x2"], ["x3"]])
    })
  )

  it.scopedLive("fail each for itself where the call says so, and the transaction goes on", () =>
    Effect.gen(function* () {
      const { ids, insert, run } = yield* setUp
      const exits = yield* run(
        Effect.forEach(["a", "no", "b"], (_id) => Effect.either(insert({ _id })), inParallel)
      )
      expect(exits.map(({ _tag }) => _tag)).toEqual(["Right", "Left", "Right"])
      expect(yield* ids).toEqual(["a", "b"])
    })
  )

  it.scopedLive("all fail with a call that fails, and nothing is written", () =>
    Effect.gen(function* () {
      const { ids, insert, run } = yield* setUp
      yield* run(insert({ _id: "a" }))
      const failures = yield* Effect.flip(
        run(
          Effect.flatMap(
            Effect.forEach(["a", "b"], (_id) => Effect.flip(insert({ _id })), inParallel),
            Effect.fail
          )
        )
      )
      expect(failures).toMatchObject([{ _tag: "DuplicateKey" }, { _tag: "DuplicateKey" }])
      expect(yield* ids).toEqual(["a"])
    })
  )

  it.scopedLive("are made again with their transaction when other writers were in the way", () =>
    Effect.gen(function* () {
      const { calls, database, ids, insert, run } = yield* setUp
      yield* failNext(database, 1, {
        failCommands: ["insert"],
        errorCode: 251,
        errorLabels: ["TransientTransactionError"]
      })
      yield* run(Effect.forEach(["a", "b"], (_id) => insert({ _id }), inParallel))
      expect(calls).toEqual([
        ["a", "b"],
        ["a", "b"]
      ])
      expect(yield* ids).toEqual(["a", "b"])
    })
  )

  it.scopedLive("are withdrawn when they are interrupted before they are made", () =>
    Effect.gen(function* () {
      const { calls, ids, insert, run } = yield* setUp
      const body = Effect.gen(function* () {
        const entered = yield* Deferred.make<void>()
        const leave = yield* Deferred.make<void>()
        const holding = yield* Effect.fork(
          Transaction.together(Effect.zipRight(Deferred.succeed(entered, undefined), Deferred.await(leave)))
        )
        yield* Deferred.await(entered)
        const [a, b] = [yield* Effect.fork(insert({ _id: "a" })), yield* Effect.fork(insert({ _id: "b" }))]
        yield* Effect.repeatN(Effect.yieldNow(), 10)
        yield* Fiber.interrupt(a)
        yield* Deferred.succeed(leave, undefined)
        yield* Fiber.join(holding)
        return yield* Fiber.join(b)
      })
      expect(yield* run(body)).toBe("b")
      expect(calls).toEqual([["b"]])
      expect(yield* ids).toEqual(["b"])
    })
  )

  it.scopedLive("are waited for when they are interrupted while they are made: no abort overtakes them", () =>
    Effect.gen(function* () {
      const { database, ids, run } = yield* setUp
      const begun = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      const call = CoalescedCalls.make<string, void, MongoError.MongoError>({
        idOf: (id) => id,
        run: (called) =>
          Effect.gen(function* () {
            yield* Deferred.succeed(begun, undefined)
            yield* Deferred.await(release)
            yield* Transaction.use((session) =>
              database.db.collection<Doc>("docs").insertOne({ _id: "a" }, { session })
            )
            return called.map(() => Exit.void)
          })
      })
      const running = yield* Effect.fork(run(call("a")))
      yield* Deferred.await(begun)
      const interrupting = yield* Effect.fork(Fiber.interrupt(running))
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      expect((yield* Fiber.poll(running))._tag).toBe("None")
      yield* Deferred.succeed(release, undefined)
      expect(Exit.isInterrupted(yield* Fiber.join(interrupting))).toBe(true)
      expect(yield* ids).toEqual([])
    })
  )
})
