import { MongoCall, type MongoError } from "@twinbox/mongodb"
import { Effect } from "effect"
import type { Db, Document, Filter } from "mongodb"
import type { StoredTwin } from "../StoredDocument.ts"
import * as IdText from "../sync/IdText.ts"

/*
 * Twins that were made under a key version below another one, or under none that can be told. No index helps to find
 * them: it would cost every save, and be of use on the days of a rotation only. Each look reads all twins once.
 */

/** What is not at least this version: lower, absent, or no number. */
const below = (version: number): Filter<StoredTwin> => ({ keyVersion: { $not: { $gte: version } } })

const collectionOf = (db: Db, twins: string) => db.collection<StoredTwin>(twins)

/** How many there are. */
export const count = (db: Db, twins: string, version: number): Effect.Effect<number, MongoError.MongoError> =>
  MongoCall.attempt(() =>
    collectionOf(db, twins).countDocuments(below(version), { readPreference: "primary" })
  )

/** The first ids, in MongoDB's own order, after one of them. Fewer than the limit: these are the last. */
export const ids = (
  db: Db,
  twins: string,
  version: number,
  after: { readonly _id: unknown } | undefined,
  limit: number
): Effect.Effect<ReadonlyArray<unknown>, MongoError.MongoError> =>
  Effect.map(
    MongoCall.attempt(() =>
      collectionOf(db, twins)
        .find(below(version), {
          projection: { _id: 1 },
          sort: { _id: 1 },
          hint: { _id: 1 },
          // Unlike `$gt`, a bound of the index does not pass over ids of other types.
          ...(after === undefined ? {} : { min: after as Document }),
          // The one after which they stand may come again.
          limit: limit + 1,
          readPreference: "primary"
        })
        .toArray()
    ),
    (found) =>
      found
        .map(({ _id }): unknown => _id)
        .filter((id) => after === undefined || IdText.keyOf(id) !== IdText.keyOf(after._id))
        .slice(0, limit)
  )

/** Twins of each of these versions; those of none of them count as 0. */
export const byVersion = (
  db: Db,
  twins: string,
  versions: ReadonlyArray<number>
): Effect.Effect<ReadonlyMap<number, number>, MongoError.MongoError> =>
  Effect.map(
    MongoCall.attempt(() =>
      collectionOf(db, twins)
        .aggregate<{ readonly _id: number; readonly twins: number }>(
          [
            {
              $group: {
                // Whatever foreign programs have put there, there are no more groups than versions.
                _id: { $cond: [{ $in: ["$keyVersion", versions] }, "$keyVersion", 0] },
                twins: { $sum: 1 }
              }
            }
          ],
          { readPreference: "primary" }
        )
        .toArray()
    ),
    (found) => new Map(found.map(({ _id, twins }) => [Number(_id), twins]))
  )
