import type { MongoError } from "@twinbox/mongodb"
import { MongoCall, MongoDatabase, MongoIndexes, Transaction } from "@twinbox/mongodb"
import type { Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Duration, Effect, Option } from "effect"
import type { IdempotencyKey } from "./IdempotencyKey.ts"

/** What a key was used for. No personal data: the fields are those of the body, which comes again. */
export interface Use {
  readonly uid: string
  readonly version: number
  readonly createdAt: Date
}

interface UseRecord extends Use {
  readonly _id: string
  readonly digest: string
  readonly expireAt: Date
}

export const collection = "idempotency_keys"

/** How long a key is remembered. */
const keptFor = Duration.hours(24)

/** The keys that were used, in MongoDB. */
export interface IdempotencyKeys {
  /** Notes a use in the open transaction, which it ends with `DuplicateKey` of this collection when the key was used. */
  readonly note: (
    key: IdempotencyKey,
    use: Use
  ) => Effect.Effect<void, MongoError.MongoError, OutboxTransaction.Transaction>
  readonly find: (
    key: IdempotencyKey
  ) => Effect.Effect<Option.Option<Use & { readonly isSameBody: boolean }>, MongoError.MongoError>
}

/** Makes the collection, too; MongoDB deletes old records by itself. */
export const make: Effect.Effect<IdempotencyKeys, MongoError.MongoError, MongoDatabase.MongoDatabase> =
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    yield* MongoIndexes.ensureCollections([collection])
    const records = db.collection<UseRecord>(collection)
    yield* MongoCall.attempt(() => records.createIndex({ expireAt: 1 }, { expireAfterSeconds: 0 }))
    return {
      note: ({ digest, key }, use) =>
        Effect.asVoid(
          Transaction.use((session) =>
            records.insertOne(
              {
                _id: key,
                digest,
                ...use,
                expireAt: new Date(use.createdAt.getTime() + Duration.toMillis(keptFor))
              },
              { session }
            )
          )
        ),
      find: ({ digest, key }) =>
        Effect.map(
          MongoCall.attempt(() => records.findOne({ _id: key }, { readConcern: { level: "majority" } })),
          (record) =>
            Option.map(Option.fromNullable(record), ({ createdAt, uid, version, ...found }) => ({
              uid,
              version,
              createdAt,
              isSameBody: found.digest === digest
            }))
        )
    }
  })
