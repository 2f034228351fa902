import { Key, type Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Array as Arr, Effect } from "effect"
import type { Db } from "mongodb"
import type { MongoCollections } from "./MongoCollections.ts"
import type { MongoError } from "./MongoError.ts"
import * as Transaction from "./Transaction.ts"

interface Versioned {
  readonly _id: string
  readonly version?: unknown
}

const versionsIn = (db: Db, collection: string, ids: ReadonlyArray<string>) =>
  Transaction.use((session) =>
    db
      .collection<Versioned>(collection)
      .find({ _id: { $in: [...ids] } }, { session, projection: { version: 1 } })
      .toArray()
  )

/**
 * The newest position that MongoDB knows of each key, in the open transaction: the version of the record or of its
 * tombstone where the stream is registered, and the last sequence of keys that the outbox counts itself.
 */
export const newestOf = (
  db: Db,
  { sequences, streams }: Pick<MongoCollections, "sequences" | "streams">,
  keys: ReadonlyArray<string>
): Effect.Effect<ReadonlyMap<string, number>, MongoError, OutboxTransaction.Transaction> =>
  Effect.gen(function* () {
    const newest = new Map<string, number>()
    if (keys.length === 0) return newest
    const raise = (key: string, version: unknown) => {
      if (typeof version === "number" && version > (newest.get(key) ?? 0)) newest.set(key, version)
    }
    const counted = yield* Transaction.use((session) =>
      sequences.find({ _id: { $in: [...keys] } }, { session }).toArray()
    )
    for (const { _id, sequence } of counted) raise(_id, sequence)
    const byStream = Arr.groupBy(keys, Key.streamOf)
    const registered = yield* Transaction.use((session) =>
      streams.find({ _id: { $in: Object.keys(byStream) } }, { session }).toArray()
    )
    for (const { _id: stream, collection, tombstones } of registered) {
      const ids = (byStream[stream] ?? []).map(Key.idOf)
      for (const name of [collection, tombstones]) {
        for (const { _id, version } of yield* versionsIn(db, name, ids)) raise(Key.make(stream, _id), version)
      }
    }
    return newest
  })
