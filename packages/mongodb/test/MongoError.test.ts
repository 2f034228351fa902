import { describe, expect, it } from "@effect/vitest"
import { MongoError, MongoIndexes } from "@twinbox/mongodb"
import { Effect } from "effect"
import { failNext, testDatabase } from "./testDatabase.ts"

/** Codes by which a server says that it is no primary any more, not yet one, or about to stop. */
const stateChanges = [91, 189, 10058, 10107, 11600, 11602, 13435, 13436]

describe("MongoError.fromDriver", () => {
  it.scopedLive.each(stateChanges)(
    "takes a server that changes its state (%d) for one that is away",
    (errorCode) =>
      Effect.gen(function* () {
        const database = yield* testDatabase
        // A reply without labels; the driver reads once more by itself.
        yield* failNext(database, 2, { failCommands: ["find"], errorCode, errorLabels: [] })
        const error = yield* Effect.flip(
          Effect.tryPromise({
            try: () => database.db.collection(MongoIndexes.collections.streams).findOne(),
            catch: MongoError.fromDriver
          })
        )
        expect(error).toMatchObject({ _tag: "Unavailable", retryable: true })
      })
  )

  it.scopedLive("takes a server that refuses for good for one that does so again", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      yield* failNext(database, 1, { failCommands: ["find"], errorCode: 13 })
      const error = yield* Effect.flip(
        Effect.tryPromise({
          try: () => database.db.collection(MongoIndexes.collections.streams).findOne(),
          catch: MongoError.fromDriver
        })
      )
      expect(error).toMatchObject({ _tag: "Refused", code: 13, retryable: false })
    })
  )
})
