import { expect, it } from "@effect/vitest"
import { MongoDatabase, MongoOutbox } from "@twinbox/mongodb"
import { Effect, Fiber, Redacted, Ref } from "effect"
import { testMongo } from "../../../../test/setup/testServers.ts"
import { failNext } from "../../../mongodb/test/testDatabase.ts"
import { makeSync, newCollection, until } from "./testSync.ts"

it.scopedLive("An instance has a pulse while it follows or stands by, and none while it cannot", () =>
  Effect.gen(function* () {
    const { database: name, uri } = yield* testMongo
    const place = { uri: Redacted.make(uri), database: name }
    /** Fail points hit the client of the database's name alone, which is not this one. */
    const outside = yield* MongoDatabase.make(place)
    const work = Effect.gen(function* () {
      const sync = yield* makeSync(newCollection())
      const instance = Effect.gen(function* () {
        const beats = yield* Ref.make(0)
        const fiber = yield* Effect.fork(sync.follow({ onPulse: Ref.update(beats, (count) => count + 1) }))
        /** Waits for two more. */
        const beating = Effect.flatMap(Ref.get(beats), (before) =>
          until(Effect.map(Ref.get(beats), (count) => count >= before + 2))
        )
        yield* beating
        return { beats: Ref.get(beats), beating, fiber }
      })
      const follower = yield* instance
      const standby = yield* instance
      const both = [follower, standby]
      yield* Effect.forEach(both, ({ beating }) => beating, { discard: true })
      const failing = failNext(outside, 100_000, {
        failCommands: ["aggregate", "getMore", "find", "findAndModify"],
        errorCode: 91
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* failing
          // What was under way may still end well.
          yield* Effect.sleep("1500 millis")
          const before = yield* Effect.forEach(both, ({ beats }) => beats)
          yield* Effect.sleep("2500 millis")
          expect(yield* Effect.forEach(both, ({ beats }) => beats)).toEqual(before)
        })
      )
      yield* Effect.forEach(both, ({ beating, fiber }) => Effect.zipRight(beating, Fiber.interrupt(fiber)), {
        concurrency: 2
      })
    })
    yield* Effect.provide(work, MongoOutbox.layer({ ...place, appName: name, selectWithin: "1 second" }))
  })
)
