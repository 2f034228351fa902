import { MongoCall, type MongoError } from "@twinbox/mongodb"
import { Effect } from "effect"
import type { MongoClient, Timestamp } from "mongodb"

/** What the oplog holds, in seconds of the cluster's time. */
export interface OplogWindow {
  readonly oldestSeconds: number
  readonly newestSeconds: number
}

interface Entry {
  readonly ts: Timestamp
}

const secondsOf = (entry: Entry | null): number => entry?.ts.getHighBitsUnsigned() ?? 0

/** Reads both ends of the oplog. Needs the right to read `local`, which hosted servers may keep to themselves. */
export const window = (client: MongoClient): Effect.Effect<OplogWindow, MongoError.MongoError> => {
  const oplog = client.db("local").collection<Entry>("oplog.rs")
  const end = (direction: 1 | -1) =>
    oplog.findOne({}, { sort: { $natural: direction }, projection: { ts: 1 } })
  return Effect.map(
    MongoCall.attempt(() => Promise.all([end(1), end(-1)])),
    ([oldest, newest]) => ({ oldestSeconds: secondsOf(oldest), newestSeconds: secondsOf(newest) })
  )
}
