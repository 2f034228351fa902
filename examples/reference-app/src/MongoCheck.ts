import { MongoDatabase } from "@twinbox/mongodb"
import { Effect } from "effect"
import { Readiness, Unready } from "./Readiness.ts"

/** Asks the primary, without which nothing can be saved. A ping that nobody waits for any longer is taken back. */
export const add = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  const readiness = yield* Readiness
  yield* readiness.add(
    "mongodb",
    Effect.tryPromise({
      try: (signal) => db.command({ ping: 1 }, { signal }),
      catch: () => new Unready({ reason: "no primary of MongoDB answers" })
    })
  )
})
