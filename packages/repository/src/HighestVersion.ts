import { type MongoDatabase, Transaction } from "@twinbox/mongodb"
import { type Context, Effect } from "effect"
import type { ClientSession } from "mongodb"
import { toReadError } from "./CollectionReads.ts"
import type { ReadError } from "./RepositoryError.ts"
import { type StoredDocument, versionIn } from "./StoredDocument.ts"
import type { CollectionNames } from "./WriteBatch.ts"

/**
 * The highest version that an id has had, whether its document is there or not. The collections are read as of one
 * moment, in the open transaction or one of its own: of a document that is deleted or made again just then, either the
 * one or the other is found.
 */
export const make = (database: Context.Tag.Service<MongoDatabase.MongoDatabase>, names: CollectionNames) => {
  const versionAt = async (name: string, id: string, session: ClientSession): Promise<number> => {
    const stored = await database.db
      .collection<StoredDocument>(name)
      .findOne({ _id: id }, { session, projection: { version: 1 } })
    return versionIn(stored ?? undefined)
  }
  /** What is there with a version has the highest; the others count where it is gone, or put there from outside. */
  const highest = async (id: string, session: ClientSession): Promise<number> => {
    const version = await versionAt(names.originals, id, session)
    if (version > 0) return version
    const twin = await versionAt(names.twins, id, session)
    return Math.max(twin, await versionAt(names.tombstones, id, session))
  }
  return (id: string): Effect.Effect<number, ReadError> =>
    Transaction.runIn(
      database,
      Transaction.use((session) => highest(id, session))
    ).pipe(Effect.mapError(toReadError))
}
