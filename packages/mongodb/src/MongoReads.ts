import { OutboxError, type OutboxStore, Slot } from "@twinbox/outbox"
import { Effect, Exit, type Scope } from "effect"
import {
  type ClientSession,
  type Collection,
  type Db,
  type Document,
  type MongoClient,
  Timestamp
} from "mongodb"
import { collections, indexNames } from "./MongoIndexes.ts"
import * as MongoError from "./MongoError.ts"
import * as OutboxRecord from "./OutboxRecord.ts"

/** Documents of one reply of the server, at most. */
const batchSize = 1_000

/** How long the server holds an idle read of the feed before it answers with nothing. */
const maxAwaitMillis = 5_000

const placeOrder = { slot: 1, key: 1, sequence: 1, ordinal: 1 } as const
const keyOrder = { key: 1, sequence: 1, ordinal: 1 } as const

/** The cluster's own time of an operation. */
interface MongoPosition extends OutboxStore.Position {
  readonly operationTime: Timestamp
}

const isMongoPosition = (position: OutboxStore.Position): position is MongoPosition =>
  position.adapter === "mongodb"

const lost = (reason: "FeedLost" | "ReadLost", operation: string) => (cause: unknown) =>
  new OutboxError.OutboxError({ reason, operation, cause: MongoError.fromDriver(cause) })

/** What both kinds of the driver's cursors offer for reading a reply at a time. */
interface BatchCursor {
  readonly readBufferedDocuments: () => Array<Document>
  readonly close: () => Promise<void>
}

const closing = (cursor: BatchCursor) => Effect.ignore(Effect.tryPromise(() => cursor.close()))

const toStored = (documents: ReadonlyArray<Document>): ReadonlyArray<OutboxStore.Stored> => {
  const stored: Array<OutboxStore.Stored> = []
  for (const document of documents) {
    if (!OutboxRecord.isSentinel(document as { _id: unknown })) stored.push(OutboxRecord.toStored(document))
  }
  return stored
}

/** All slots need no filter: the index is read from end to end. */
const slotFilter = (field: string, slots: ReadonlyArray<number>): Document =>
  slots.length === Slot.count ? {} : { [field]: { $in: slots } }

/** A session whose reads see at least all that committed before the position. */
const sessionSince = (client: MongoClient, since: OutboxStore.Position | undefined): ClientSession => {
  const session = client.startSession({ causalConsistency: true })
  if (since !== undefined && isMongoPosition(since)) session.advanceOperationTime(since.operationTime)
  return session
}

interface Pass {
  readonly filter: Document
  /** The index to read. */
  readonly hint: string
  /** The order of the index. */
  readonly sort: Readonly<Record<string, 1>>
  readonly batchSize: number
  readonly since?: OutboxStore.Position | undefined
}

const openCursor = (
  client: MongoClient,
  collection: Collection<Document>,
  { batchSize, filter, hint, since, sort }: Pass
): Effect.Effect<OutboxStore.Cursor, never, Scope.Scope> =>
  Effect.gen(function* () {
    // One finalizer for both: Effect 3.22 can lose an interruption between two finalizers of one scope.
    const { cursor } = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const session = sessionSince(client, since)
        const opened = collection.find(filter, {
          session,
          hint,
          batchSize,
          sort,
          // Only what a majority has: a message that a new primary does not know must not be delivered.
          readConcern: { level: "majority" },
          readPreference: "primary"
        })
        return { cursor: opened, session }
      }),
      (open) =>
        Effect.zipRight(
          closing(open.cursor),
          Effect.promise(() => open.session.endSession())
        )
    )
    const read = Effect.tryPromise({
      try: async () => ((await cursor.hasNext()) ? cursor.readBufferedDocuments() : undefined),
      catch: lost("ReadLost", "read")
    })
    // A reply that holds nothing but sentinels is not the end.
    const next: OutboxStore.Cursor["next"] = Effect.flatMap(read, (documents) => {
      if (documents === undefined) return Effect.succeed([])
      const stored = toStored(documents)
      return stored.length === 0 ? next : Effect.succeed(stored)
    })
    return { next }
  })

/** One forward pass over ready messages. */
export const ready = (client: MongoClient, db: Db, { since, slots }: OutboxStore.ReadyOptions) =>
  openCursor(client, db.collection(collections.outbox), {
    filter: { state: "ready", ...slotFilter("slot", slots) },
    hint: indexNames.ready,
    sort: placeOrder,
    batchSize,
    since
  })

/** One forward pass over what a sink owes, without some keys. */
export const behind = (
  client: MongoClient,
  db: Db,
  { sink, slots }: OutboxStore.BehindOptions,
  without: ReadonlyArray<string>
) =>
  openCursor(client, db.collection(collections.outbox), {
    filter: {
      state: "behind",
      behind: sink,
      ...slotFilter("slot", slots),
      ...(without.length === 0 ? {} : { key: { $nin: without } })
    },
    hint: indexNames.behind,
    sort: placeOrder,
    batchSize
  })

/** One forward pass over delivered messages, each key in its order. */
export const delivered = (client: MongoClient, db: Db, filter: Document, batchSize: number) =>
  openCursor(client, db.collection(collections.delivered), {
    filter,
    hint: indexNames.deliveredByPlace,
    sort: keyOrder,
    batchSize
  })

/** The stream's start is inclusive; what happened at the position itself is left to the read of the collection. */
const following = (time: Timestamp): Timestamp =>
  new Timestamp({ t: time.getHighBitsUnsigned(), i: time.getLowBitsUnsigned() + 1 })

const feedCommand = (slots: ReadonlyArray<number>, startAtOperationTime: Timestamp): Document => ({
  aggregate: collections.outbox,
  pipeline: [
    { $changeStream: { startAtOperationTime } },
    // What is inserted as scheduled or behind is not ready.
    {
      $match: {
        operationType: "insert",
        "fullDocument.state": "ready",
        ...slotFilter("fullDocument.slot", slots)
      }
    },
    { $project: { fullDocument: 1 } }
  ],
  cursor: { batchSize },
  readConcern: { level: "majority" }
})

/**
 * The inserts that commit from now on, by a change stream.
 *
 * The stream starts after an operation time that is asked for first and handed to the caller as position,
 * so it needs not be open on the server before the first `next`: a read that follows with `since: position` and majority concern misses nothing that the stream does not
 * bring. The driver's own resuming is not used: the collection is the truth, and reading it again is simpler.
 *
 * Source: https://www.mongodb.com/docs/manual/reference/operator/aggregation/changeStream/
 */
export const feed = (
  db: Db,
  slots: ReadonlyArray<number>
): Effect.Effect<OutboxStore.Feed, OutboxError.OutboxError, Scope.Scope> =>
  Effect.gen(function* () {
    const reply = yield* Effect.tryPromise({
      try: () => db.command({ ping: 1 }),
      catch: lost("FeedLost", "watch")
    })
    const operationTime = reply["operationTime"] as Timestamp
    const cursor = yield* Effect.acquireRelease(
      Effect.sync(() =>
        db
          .runCursorCommand(feedCommand(slots, following(operationTime)), { tailable: true, awaitData: true })
          .setBatchSize(batchSize)
          .setMaxTimeMS(maxAwaitMillis)
      ),
      closing
    )
    const fetchReply = async (): Promise<ReadonlyArray<Document>> => {
      const first: unknown = await cursor.tryNext()
      if (first !== null) return [first as Document, ...cursor.readBufferedDocuments()]
      if (cursor.closed || cursor.id === undefined || cursor.id.isZero()) {
        throw new Error("the server ended the change stream")
      }
      return []
    }
    // A reply that arrives after its reader was interrupted is kept for the next one.
    let underWay: Promise<ReadonlyArray<Document>> | undefined
    const read = Effect.tryPromise({
      try: () => (underWay ??= fetchReply()),
      catch: lost("FeedLost", "watch")
    }).pipe(
      Effect.onExit((exit) => Effect.sync(() => void (Exit.isInterrupted(exit) || (underWay = undefined))))
    )
    const position: MongoPosition = { adapter: "mongodb", operationTime }
    return {
      position,
      next: Effect.map(read, (events) => toStored(events.map((event) => event["fullDocument"] as Document)))
    }
  })
