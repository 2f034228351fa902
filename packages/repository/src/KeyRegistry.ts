import type { AnonymizeKey } from "@twinbox/anonymize"
import type { MongoError } from "@twinbox/mongodb"
import { MongoCall, MongoDatabase } from "@twinbox/mongodb"
import { type Context, Effect } from "effect"
import { KeyMismatch } from "./RepositoryError.ts"

interface KeyRecord {
  readonly _id: number
  readonly check: string
}

/** One document for each key version: its check value, which tells secrets apart and reveals nothing of them. */
export const collectionName = "anonymize_keys"

/** Registers a key version at its first use; `KeyMismatch` when this database knows another secret under it. */
export const verify = (
  key: AnonymizeKey
): Effect.Effect<void, KeyMismatch | MongoError.MongoError, MongoDatabase.MongoDatabase> =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const record = yield* MongoCall.attempt(() =>
      db
        .collection<KeyRecord>(collectionName)
        .findOneAndUpdate(
          { _id: key.version },
          { $setOnInsert: { check: key.check } },
          { upsert: true, returnDocument: "after", writeConcern: { w: "majority" } }
        )
    )
    if (record?.check !== key.check) return yield* new KeyMismatch({ keyVersion: key.version })
    return undefined
  })

/** The highest key version that a database knows. */
export const newest = ({
  db
}: Pick<Context.Tag.Service<MongoDatabase.MongoDatabase>, "db">): Effect.Effect<
  number,
  MongoError.MongoError
> =>
  Effect.map(
    MongoCall.attempt(() => db.collection<KeyRecord>(collectionName).findOne({}, { sort: { _id: -1 } })),
    (record) => record?._id ?? 0
  )
