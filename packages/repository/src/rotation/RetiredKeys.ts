import type { AnonymizeKey } from "@twinbox/anonymize"
import type { MongoDatabase, MongoError } from "@twinbox/mongodb"
import { type Context, Effect } from "effect"
import * as KeyRegistry from "../KeyRegistry.ts"
import { KeyRetired, type WriteError } from "../RepositoryError.ts"
import type { CollectionNames } from "../WriteBatch.ts"
import type { Writer } from "../Writer.ts"
import * as KeyFloor from "./KeyFloor.ts"

type Database = Context.Tag.Service<MongoDatabase.MongoDatabase>

/** Puts back a floor that somebody has taken away: with the collection, or for a validator of his own. */
const restore = (db: Database["db"], twins: string, floor: number) =>
  Effect.catchTag(KeyFloor.raise(db, twins, floor), "RetireRefused", ({ message }) =>
    Effect.logWarning(`nothing keeps twins of retired keys out of '${twins}': ${message}`)
  )

/** Fails when the key is retired for these twins, and sees to it that MongoDB refuses those of retired keys. */
export const admit = (
  { db }: Database,
  { originals, twins }: CollectionNames,
  key: AnonymizeKey
): Effect.Effect<void, KeyRetired | MongoError.MongoError> =>
  Effect.gen(function* () {
    const lowest = (yield* KeyRegistry.retiredUpTo(db, twins)) + 1
    const floor = yield* KeyFloor.of(db, twins)
    if (lowest > 1 && floor < lowest) yield* restore(db, twins, lowest)
    if (key.version < Math.max(lowest, floor)) {
      return yield* new KeyRetired({ collection: originals, keyVersion: key.version })
    }
    return undefined
  })

/** DocumentValidationFailure */
const validationFailure = 121

/**
 * Says of writes that a validator has refused whether that was for the sake of a retired key: one read, then only.
 * Under a retired key no twin can be written, whatever else a validator may say.
 */
export const explaining = (
  { db }: Database,
  { originals, twins }: CollectionNames,
  { version }: AnonymizeKey,
  writer: Writer
): Writer => {
  const retired = new KeyRetired({ collection: originals, keyVersion: version })
  const explain = (error: WriteError): Effect.Effect<never, WriteError> =>
    error._tag === "Refused" && error.code === validationFailure
      ? Effect.flatMap(
          Effect.orElseSucceed(KeyFloor.of(db, twins), () => 0),
          (floor) => Effect.fail(version < floor ? retired : error)
        )
      : Effect.fail(error)
  return {
    one: (write, bytes) => Effect.catchAll(writer.one(write, bytes), explain),
    many: (writes) => Effect.catchAll(writer.many(writes), explain)
  }
}
