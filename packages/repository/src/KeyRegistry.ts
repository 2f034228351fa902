import type { AnonymizeKey } from "@twinbox/anonymize"
import type { MongoError } from "@twinbox/mongodb"
import { MongoCall, MongoDatabase } from "@twinbox/mongodb"
import { type Context, Effect } from "effect"
import type { Db, FindOptions } from "mongodb"
import { KeyMismatch } from "./RepositoryError.ts"

interface KeyRecord {
  readonly _id: number
  readonly check: string
  /** Collections of twins that it is retired for. */
  readonly retired?: ReadonlyArray<string>
}

/** One document for each key version: its check value, which tells secrets apart and reveals nothing of them. */
export const collectionName = "anonymize_keys"

const recordsOf = (db: Db) => db.collection<KeyRecord>(collectionName)

const newestFirst: FindOptions = { sort: { _id: -1 }, readPreference: "primary" }

/** Registers a key version at its first use; `KeyMismatch` when this database knows another secret under it. */
export const verify = (
  key: AnonymizeKey
): Effect.Effect<void, KeyMismatch | MongoError.MongoError, MongoDatabase.MongoDatabase> =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const record = yield* MongoCall.attempt(() =>
      recordsOf(db).findOneAndUpdate(
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
    MongoCall.attempt(() => recordsOf(db).findOne({}, newestFirst)),
    (record) => record?._id ?? 0
  )

/** Fails with `KeyMismatch` when the database knows another secret under a version; one that it does not know is left so. */
export const verifyEarlier = (
  { db }: Pick<Context.Tag.Service<MongoDatabase.MongoDatabase>, "db">,
  keys: ReadonlyArray<AnonymizeKey>
): Effect.Effect<void, KeyMismatch | MongoError.MongoError> =>
  Effect.forEach(
    keys,
    ({ check, version }) =>
      Effect.flatMap(
        MongoCall.attempt(() => recordsOf(db).findOne({ _id: version })),
        (record) =>
          record === null || record.check === check
            ? Effect.void
            : Effect.fail(new KeyMismatch({ keyVersion: version }))
      ),
    { discard: true }
  )

/** All versions that a database knows, the newest first. */
export const versions = (db: Db): Effect.Effect<ReadonlyArray<number>, MongoError.MongoError> =>
  Effect.map(
    MongoCall.attempt(() =>
      recordsOf(db)
        .find({}, { ...newestFirst, projection: { _id: 1 } })
        .toArray()
    ),
    (records) => records.map(({ _id }) => _id)
  )

/** The highest version that is retired for a collection of twins; 0: none is. */
export const retiredUpTo = (db: Db, twins: string): Effect.Effect<number, MongoError.MongoError> =>
  Effect.map(
    MongoCall.attempt(() => recordsOf(db).findOne({ retired: twins }, newestFirst)),
    (record) => record?._id ?? 0
  )

/** Notes that a version and all before it are retired for a collection of twins. */
export const retire = (db: Db, twins: string, version: number): Effect.Effect<void, MongoError.MongoError> =>
  Effect.asVoid(
    MongoCall.attempt(() =>
      recordsOf(db).updateMany(
        { _id: { $lte: version } },
        { $addToSet: { retired: twins } },
        { writeConcern: { w: "majority" } }
      )
    )
  )
