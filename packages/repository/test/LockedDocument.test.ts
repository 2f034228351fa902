import { expect } from "@effect/vitest"
import { MongoDatabase } from "@twinbox/mongodb"
import { Effect, Fiber } from "effect"
import { ada, makeCustomers, newId, suite } from "./testRepository.ts"

/** Somebody else's transaction that has written the document and does not end. */
const lock = (id: string) =>
  Effect.flatMap(MongoDatabase.MongoDatabase, ({ client, db }) =>
    Effect.acquireRelease(
      Effect.promise(async () => {
        const session = client.startSession()
        session.startTransaction()
        await db
          .collection<{ _id: string }>("customers")
          .updateOne({ _id: id }, { $set: { locked: true } }, { session })
        return session
      }),
      (session) => Effect.promise(() => session.endSession())
    )
  )

suite("A document that somebody else has locked", (it) => {
  it.scoped("holds up its own writer and nobody who shares transactions with it", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers({ groupCommit: true })
      const id = newId()
      yield* customers.create({ ...ada, _id: id })
      const session = yield* lock(id)
      const held = yield* Effect.fork(customers.update(id, { visits: 1 }))
      // Several rounds: the first shares a group with the held write, later ones find it under way.
      for (let round = 0; round < 5; round++) {
        yield* Effect.all(
          Array.from({ length: 20 }, () => customers.create(ada)),
          { concurrency: "unbounded" }
        )
      }
      expect(held.unsafePoll()).toBe(null)
      yield* Effect.promise(() => session.abortTransaction())
      expect((yield* Fiber.join(held)).visits).toBe(1)
    })
  )
})
