import { MongoError } from "@twinbox/mongodb"
import { Data, Effect, Exit, type Scope } from "effect"
import {
  type ChangeStreamDocument,
  type Collection,
  type Document,
  MongoError as DriverError,
  MongoServerError,
  type ResumeToken,
  type Timestamp
} from "mongodb"
import type { StoredDocument } from "../StoredDocument.ts"

/** A place in the changes of a collection. */
export type Position = { readonly token: ResumeToken } | { readonly at: Timestamp }

/** What has changed since the read before. */
export interface Changes {
  /** Ids of the documents; an id can be there several times. */
  readonly ids: ReadonlyArray<unknown>
  /** The place after them. */
  readonly position: Position
  /** When the last of them was made, by the cluster's clock; undefined: there was no change. */
  readonly at: Timestamp | undefined
}

/** The changes of a collection from a place on. */
export interface ChangeFeed {
  /** Waits for the next changes; without any it returns none about once a second. */
  readonly next: Effect.Effect<Changes, FeedError>
}

/** The changes after the given place cannot be had any more. */
export class PositionLost extends Data.TaggedError("PositionLost")<{ readonly reason: string }> {}

export type FeedError = PositionLost | MongoError.MongoError

/** How long the server holds an idle read. */
const maxAwaitMillis = 1_000

/**
 * Server error codes after which a stream cannot go on from where it was.
 * https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
 */
const losses: ReadonlyMap<unknown, string> = new Map([
  [136, "the oplog no longer holds it"],
  [260, "the server does not know the place"],
  [280, "the server cannot go on from it"],
  [286, "the oplog no longer holds it"],
  [10_334, "a change there is over 16 MB"]
])

/** Changes of the whole collection. */
const endings: ReadonlySet<string> = new Set(["drop", "rename", "dropDatabase", "invalidate"])

const toFeedError = (error: unknown): FeedError => {
  if (error instanceof PositionLost) return error
  const known = error instanceof MongoServerError ? losses.get(error.code) : undefined
  if (known !== undefined) return new PositionLost({ reason: known })
  return error instanceof DriverError && error.hasErrorLabel("NonResumableChangeStreamError")
    ? new PositionLost({ reason: "the server cannot go on from it" })
    : MongoError.fromDriver(error)
}

/** Only which document changed: what is in it now is read when it is worked on. */
const pipeline: Array<Document> = [{ $project: { operationType: 1, documentKey: 1, clusterTime: 1 } }]

type Change = ChangeStreamDocument<StoredDocument>

const idsOf = (change: Change): ReadonlyArray<unknown> => {
  if (endings.has(change.operationType)) {
    throw new PositionLost({ reason: `the collection was changed as a whole (${change.operationType})` })
  }
  return "documentKey" in change ? [change.documentKey._id] : []
}

/** @param limit changes of one read, at most */
export const open = (
  collection: Collection<StoredDocument>,
  position: Position,
  limit: number
): Effect.Effect<ChangeFeed, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        collection.watch<StoredDocument, Change>(pipeline, {
          ...("token" in position ? { resumeAfter: position.token } : { startAtOperationTime: position.at }),
          batchSize: limit,
          maxAwaitTimeMS: maxAwaitMillis,
          readPreference: "primary"
        })
      ),
      (stream) => Effect.ignore(Effect.tryPromise(() => stream.close()))
    ),
    (stream) => {
      let last = position
      const read = async (): Promise<Changes> => {
        const changes: Array<Change> = []
        for (let change = await stream.tryNext(); change !== null; change = await stream.tryNext()) {
          changes.push(change)
          if (changes.length === limit || stream.bufferedCount() === 0) break
        }
        const ids = changes.flatMap(idsOf)
        // After the last change of a reply it is the place up to which the server has looked.
        if (stream.resumeToken !== undefined && stream.resumeToken !== null) {
          last = { token: stream.resumeToken }
        }
        return { ids, position: last, at: changes.at(-1)?.clusterTime }
      }
      // What arrives after its reader was interrupted is kept for the next one.
      let underWay: Promise<Changes> | undefined
      return {
        next: Effect.tryPromise({ try: () => (underWay ??= read()), catch: toFeedError }).pipe(
          Effect.onExit((exit) =>
            Effect.sync(() => void (Exit.isInterrupted(exit) || (underWay = undefined)))
          )
        )
      }
    }
  )
