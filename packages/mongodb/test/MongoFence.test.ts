import { describe, expect, it } from "@effect/vitest"
import { Transaction } from "@twinbox/mongodb"
import { MessageFixture } from "@twinbox/testkit"
import { Deferred, Duration, Effect, Exit, Fiber } from "effect"
import * as MongoCollections from "../src/MongoCollections.ts"
import * as MongoFence from "../src/MongoFence.ts"
import { failNext } from "./testDatabase.ts"
import { anotherProcess, behind, commit, enter, freshProcess, type Process } from "./storeFixture.ts"

const reasonOf = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) return "Success"
    return exit.cause._tag === "Fail"
      ? (exit.cause.error as { readonly reason?: unknown }).reason
      : exit.cause
  })

/** A member that opens a fenced transaction and then does nothing more, as if its process had died there. */
const dieInsideTransaction = ({ database, store }: Process, owner: string) =>
  Effect.gen(function* () {
    const collections = MongoCollections.make(database.db)
    const fence = MongoFence.make(database.client, collections)
    const session = yield* fence.enter(owner)
    yield* store.join(owner, 5_000)
    yield* Effect.promise(() => collections.relays.updateOne({ _id: owner }, { $set: { session } }))
    const isInside = yield* Deferred.make<void>()
    const body = Effect.gen(function* () {
      yield* Transaction.use((held) =>
        collections.leases.updateOne({ _id: 7 }, { $set: { owner } }, { session: held })
      )
      yield* Deferred.succeed(isInside, undefined)
      return yield* Effect.never
    })
    const fiber = yield* Effect.forkScoped(fence.member("test", owner, body))
    yield* Deferred.await(isInside)
    return fiber
  })

describe("MongoFence", () => {
  it.scopedLive("lets a relay be expelled at once that died inside a fenced transaction", () =>
    Effect.gen(function* () {
      const living = yield* freshProcess()
      const dead = yield* anotherProcess(living.database)
      const fiber = yield* dieInsideTransaction(dead, "dead")
      yield* enter(living, "living", [])
      const [took, expelled] = yield* Effect.timed(living.store.expel({ owner: "dead", counter: 1 }))
      expect(expelled).toBe(true)
      // The server itself would end the transaction after a minute, and the expulsion would give up before.
      expect(Duration.toSeconds(took)).toBeLessThan(20)
      expect(yield* living.store.claim("living", [7])).toMatchObject([{ slot: 7, suspect: false }])
      yield* Fiber.interrupt(fiber)
    })
  )

  it.scopedLive("leaves the open transaction of a relay alone that has had another heartbeat", () =>
    Effect.gen(function* () {
      const one = yield* freshProcess()
      const other = yield* anotherProcess(one.database)
      const message = MessageFixture.make()
      yield* commit(one, [message])
      const lease = yield* enter(one, "relay-a", [message.slot])
      yield* one.store.beat("relay-a", false)
      expect(yield* other.store.expel({ owner: "relay-a", counter: 1 })).toBe(false)
      yield* one.store.settle(lease, [behind(message, "mirror")])
      expect((yield* one.store.stats).behind).toBe(1)
    })
  )

  it.scopedLive("refuses the commit of a relay that was expelled in the middle of it", () =>
    Effect.gen(function* () {
      const slow = yield* freshProcess()
      const other = yield* anotherProcess(slow.database)
      const message = MessageFixture.make()
      yield* commit(slow, [message])
      const lease = yield* enter(slow, "slow", [message.slot])
      yield* failNext(slow.database, 1, {
        failCommands: ["commitTransaction"],
        blockConnection: true,
        blockTimeMS: 3_000
      })
      const settling = yield* Effect.fork(reasonOf(slow.store.settle(lease, [behind(message, "mirror")])))
      yield* Effect.repeat(openTransactions(slow), { until: (count) => count > 0 })
      expect(yield* other.store.expel({ owner: "slow", counter: 1 })).toBe(true)
      expect(yield* Fiber.join(settling)).toBe("StaleLease")
      expect(yield* slow.store.stats).toMatchObject({ ready: 1, behind: 0 })
      expect(yield* reasonOf(slow.store.beat("slow", false))).toBe("StaleLease")
    })
  )

  it.scopedLive(
    "lets heartbeats and fenced writes of one relay pass beside each other without a failure",
    () =>
      Effect.gen(function* () {
        const fresh = yield* freshProcess()
        const relay = yield* anotherProcess(fresh.database)
        const messages = MessageFixture.ofKey("customer/1", 40)
        yield* commit(relay, messages)
        const lease = yield* enter(relay, "relay-a")
        const aborted: Array<string> = []
        relay.database.client.on("commandStarted", ({ commandName }) => {
          if (commandName === "abortTransaction") aborted.push(commandName)
        })
        const writes = messages.map((message) => relay.store.settle(lease, [behind(message, "mirror")]))
        const beats = Array.from({ length: 10 }, () => relay.store.beat("relay-a", false))
        yield* Effect.all([...writes, ...beats], { concurrency: "unbounded", discard: true })
        expect((yield* relay.store.stats).behind).toBe(40)
        expect(aborted).toEqual([])
      })
  )

  it.scopedLive("knows a relay only in the process that it joined from", () =>
    Effect.gen(function* () {
      const one = yield* freshProcess()
      const other = yield* anotherProcess(one.database)
      const message = MessageFixture.make()
      yield* commit(one, [message])
      const lease = yield* enter(one, "relay-a")
      expect(yield* reasonOf(other.store.join("relay-a", 5_000))).toBe("Refused")
      expect(yield* reasonOf(other.store.settle(lease, [behind(message, "mirror")]))).toBe("StaleLease")
      yield* one.store.settle(lease, [behind(message, "mirror")])
      expect((yield* one.store.stats).behind).toBe(1)
    })
  )

  it.scopedLive("is free again for its relay when a write was interrupted", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess()
      const messages = MessageFixture.ofKey("customer/1", 2)
      yield* commit(relay, messages)
      const lease = yield* enter(relay, "relay-a")
      const [first, second] = messages
      if (first === undefined || second === undefined) return
      const fiber = yield* Effect.fork(relay.store.settle(lease, [behind(first, "mirror")]))
      yield* Effect.sleep("3 millis")
      yield* Fiber.interrupt(fiber)
      yield* relay.store.settle(lease, [behind(first, "mirror"), behind(second, "mirror")])
      expect((yield* relay.store.stats).behind).toBe(2)
    })
  )
})

/** Transactions of this database's clients that the server has open. */
const openTransactions = ({ database: { client, db } }: Process) =>
  Effect.promise(async () => {
    const sessions = await client
      .db("admin")
      .aggregate([
        { $currentOp: { allUsers: true, idleSessions: true } },
        { $match: { transaction: { $exists: true }, appName: db.databaseName } }
      ])
      .toArray()
    return sessions.length
  })
