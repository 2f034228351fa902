import { expect, it } from "@effect/vitest"
import { MongoOutbox } from "@twinbox/mongodb"
import { Effect, Layer, Redacted } from "effect"
import { testMongo } from "../../../test/setup/testServers.ts"
import { ada, makeCustomers, newId, nothing, stored } from "./testRepository.ts"

it.scopedLive.each([true, false])(
  "a save that finds the outbox full fails, may be tried again, and leaves nothing written (group commit: %s)",
  (grouped) =>
    Effect.gen(function* () {
      const { database, uri } = yield* testMongo
      const limited = MongoOutbox.layer({
        uri: Redacted.make(uri),
        database,
        maxDepth: 2,
        checkEvery: "1 millis"
      })
      yield* Effect.gen(function* () {
        const customers = yield* makeCustomers(grouped ? { groupCommit: {} } : {})
        yield* customers.createMany([ada, ada])
        // The depth is read now and then: the first save after the limit is reached may still be let in.
        const save = Effect.suspend(() => {
          const id = newId()
          return Effect.as(Effect.flip(customers.create({ ...ada, _id: id })), id)
        })
        yield* Effect.retry(save, { times: 10 })
        const id = newId()
        const error = yield* Effect.flip(customers.create({ ...ada, _id: id }))
        expect(error).toMatchObject({ _tag: "OutboxFull", collection: "customers", retryable: true })
        expect(yield* stored(id)).toEqual(nothing)
      }).pipe(Effect.provide(Layer.orDie(limited)))
    })
)
