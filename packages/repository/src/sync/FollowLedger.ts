import { MongoCall, type MongoError } from "@twinbox/mongodb"
import { Effect } from "effect"
import type { Db, Document } from "mongodb"
import type { Position } from "./ChangeFeed.ts"

/** How far a collection has been followed, and by whom. */
export interface FollowRecord {
  /** Name of the originals' collection. */
  readonly _id: string
  readonly owner: string | null
  /** Rises whenever somebody takes it up. */
  readonly epoch: number
  /** All changes before it have been worked on, but for what the reindex below finds. Absent: nobody has followed yet. */
  readonly position?: Position
  /** A reindex that has to end before the collection is known to be in step. */
  readonly run?: number
}

/** Keeps where the following of a collection is. One instance follows; the others stand by. */
export interface FollowLedger {
  /** Who has it, if anybody. */
  readonly owner: Effect.Effect<string | null, MongoError.MongoError>
  /** Takes it up unless another than this owner has it by now. */
  readonly claim: (
    owner: string,
    instead: string | null
  ) => Effect.Effect<FollowRecord | undefined, MongoError.MongoError>
  /** Notes where it is. False: another one has taken it up. */
  readonly save: (
    record: Pick<FollowRecord, "epoch">,
    state: Pick<FollowRecord, "position" | "run">
  ) => Effect.Effect<boolean, MongoError.MongoError>
  /** Notes that a reindex has ended. */
  readonly reindexed: (run: number) => Effect.Effect<void, MongoError.MongoError>
}

export const collectionName = "sync_follow"

const majority = { writeConcern: { w: "majority" } } as const
const created = { upsert: true, returnDocument: "after", ...majority } as const

export const make = (db: Db, collection: string): FollowLedger => {
  const follow = db.collection<FollowRecord>(collectionName)
  return {
    owner: Effect.map(
      MongoCall.attempt(() =>
        follow.findOneAndUpdate({ _id: collection }, { $setOnInsert: { owner: null, epoch: 0 } }, created)
      ),
      (record) => record?.owner ?? null
    ),
    claim: (owner, instead) =>
      Effect.map(
        MongoCall.attempt(() =>
          follow.findOneAndUpdate(
            { _id: collection, owner: instead },
            { $set: { owner }, $inc: { epoch: 1 } },
            { returnDocument: "after", ...majority }
          )
        ),
        (record) => record ?? undefined
      ),
    save: ({ epoch }, state) => {
      const update: Document = { $set: state }
      return Effect.map(
        MongoCall.attempt(() => follow.updateOne({ _id: collection, epoch }, update, majority)),
        ({ matchedCount }) => matchedCount === 1
      )
    },
    reindexed: (run) =>
      Effect.asVoid(
        MongoCall.attempt(() => follow.updateOne({ _id: collection, run }, { $unset: { run: "" } }, majority))
      )
  }
}
