import { expect, it } from "@effect/vitest"
import { MongoIndexes } from "@twinbox/mongodb"
import { Effect, Fiber } from "effect"
import { MongoClient } from "mongodb"
import { testMongo } from "../setup/testServers.ts"
import * as TakeOver from "./TakeOver.ts"

/** Two slots that a relay owns, and one of another. */
const leases = Effect.gen(function* () {
  const { database, uri } = yield* testMongo
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => new MongoClient(uri)),
    (open) => Effect.promise(() => open.close())
  )
  const db = client.db(database)
  const collection = db.collection<{ _id: number; owner: string | null }>(MongoIndexes.collections.leases)
  yield* Effect.promise(() =>
    collection.insertMany([
      { _id: 0, owner: "relay-1.1-x:2" },
      { _id: 1, owner: "relay-1.1-x:2" },
      { _id: 2, owner: "relay-1.10-y:1" }
    ])
  )
  const give = (slot: number, owner: string) =>
    Effect.promise(() => collection.updateOne({ _id: slot }, { $set: { owner } }))
  return { db, give }
})

it.scopedLive("a take-over lasts until the relay has lost its last slot", () =>
  Effect.gen(function* () {
    const { db, give } = yield* leases
    const measuring = yield* Effect.fork(TakeOver.measure(db, "relay-1.1"))
    yield* Effect.sleep("200 millis")
    yield* give(0, "relay-2.1-z:1")
    yield* Effect.sleep("200 millis")
    expect((yield* Fiber.status(measuring))._tag).not.toBe("Done")
    // It comes back under another name: that is no longer the same.
    yield* give(1, "relay-1.1-x:3")
    expect(yield* Fiber.join(measuring)).toBeGreaterThan(200)
  })
)

it.scopedLive("a relay without slots is not measured", () =>
  Effect.gen(function* () {
    const { db } = yield* leases
    expect(yield* TakeOver.measure(db, "relay-3.1")).toBeUndefined()
  })
)

it.scopedLive("all is calm when every relay has slots, by the name that it has by then", () =>
  Effect.gen(function* () {
    const { db, give } = yield* leases
    yield* TakeOver.awaitCalm(db, () => ["relay-1.1", "relay-1.10"])
    let second = "relay-2.1"
    const waiting = yield* Effect.fork(TakeOver.awaitCalm(db, () => ["relay-1.1", second]))
    yield* Effect.sleep("500 millis")
    expect((yield* Fiber.status(waiting))._tag).not.toBe("Done")
    second = "relay-2.2"
    yield* give(2, "relay-2.2-z:1")
    yield* Fiber.join(waiting)
  })
)
