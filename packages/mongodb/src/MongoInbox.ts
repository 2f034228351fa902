import { Inbox, InboxError } from "@twinbox/outbox"
import { type Context, Effect, Layer } from "effect"
import type { AnyBulkWriteOperation, Collection, Document } from "mongodb"
import { MongoDatabase } from "./MongoDatabase.ts"
import * as MongoError from "./MongoError.ts"
import * as MongoIndexes from "./MongoIndexes.ts"
import * as Transaction from "./Transaction.ts"

/** Name of the inbox's collection. */
export const collection = "inbox"

/** That a consumer has applied a message; or, with a place, the newest of a key that it has applied. */
interface InboxRecord {
  readonly _id: string
  readonly sequence?: number
  readonly ordinal?: number
  /** Left out: it stays. */
  readonly expireAt?: Date
}

// Names of consumers hold no colon: no two of these are ever the same.
const messageRecordId = ({ name }: Inbox.Consumer, { id }: Inbox.Identified) => `message:${name}:${id}`
const keyRecordId = ({ name }: Inbox.Consumer, { key }: Inbox.Identified) => `key:${name}:${key}`

const reasonOf = (error: MongoError.MongoError): InboxError.InboxErrorReason => {
  switch (error._tag) {
    case "TransactionTooLarge":
      return "TooLarge"
    case "Unavailable":
    case "WriteContention":
    case "CommitUnknown":
      return "Unavailable"
    case "DuplicateKey":
    case "Refused":
      return "Refused"
  }
}

const toInboxError = (cause: MongoError.MongoError) =>
  new InboxError.InboxError({ reason: reasonOf(cause), operation: "once", cause })

const current = Effect.mapError(
  Transaction.current,
  () => new InboxError.InboxError({ reason: "WrongTransaction", operation: "once" })
)

const attempt = <A>(call: () => Promise<A>) => Effect.tryPromise({ try: call, catch: MongoError.fromDriver })

/**
 * Makes the inbox's collection and the index by which its records expire. Safe to run from several processes at
 * once and to run again.
 *
 * Source: https://www.mongodb.com/docs/manual/tutorial/expire-data/#expire-documents-at-a-specific-clock-time
 */
export const ensure: Effect.Effect<void, MongoError.MongoError, MongoDatabase> = Effect.gen(function* () {
  const { db } = yield* MongoDatabase
  yield* MongoIndexes.ensureCollections([collection])
  yield* attempt(() =>
    db.collection(collection).createIndex({ expireAt: 1 }, { name: "expiry", expireAfterSeconds: 0 })
  )
})

/** The moment, by the server's clock, at which a record of this lifetime expires. */
const expiry = (lifetimeMillis: number | undefined): Document | string =>
  lifetimeMillis === undefined ? "$$REMOVE" : { $add: ["$$NOW", lifetimeMillis] }

const put = (_id: string, fields: Document): AnyBulkWriteOperation<InboxRecord> => ({
  updateOne: { filter: { _id }, update: [{ $set: fields }], upsert: true }
})

const knownFrom = (records: ReadonlyArray<InboxRecord>, messageId: string): Inbox.Known => {
  const newest = records.find(({ _id }) => _id !== messageId)
  return {
    isApplied: records.some(({ _id }) => _id === messageId),
    newest:
      newest === undefined ? undefined : { sequence: newest.sequence ?? 0, ordinal: newest.ordinal ?? 0 }
  }
}

/**
 * Notes messages in the open transaction, in two round trips for a new message and one for another. What it reads
 * belongs to the transaction's snapshot: where somebody else has noted the message or moved its key since then, the
 * write conflicts, and the transaction is tried again.
 */
const admitIn =
  (inbox: Collection<InboxRecord>, lifetimes: Inbox.Lifetimes): Inbox.Ledger["admit"] =>
  (consumer, message) =>
    Effect.flatMap(current, (transaction) => {
      const messageId = messageRecordId(consumer, message)
      const keyId = keyRecordId(consumer, message)
      const isGuarded = consumer.guard === "sequence"
      const ids = isGuarded ? [messageId, keyId] : [messageId]
      const { ordinal, sequence } = message
      const notes = [
        put(messageId, { expireAt: expiry(lifetimes.ids) }),
        ...(isGuarded ? [put(keyId, { sequence, ordinal, expireAt: expiry(lifetimes.guards) })] : [])
      ]
      return transaction
        .together(
          Effect.gen(function* () {
            const records = yield* transaction.use((session) =>
              inbox.find({ _id: { $in: ids } }, { session }).toArray()
            )
            const verdict = Inbox.judge(message, knownFrom(records, messageId))
            if (verdict === "New") yield* transaction.use((session) => inbox.bulkWrite(notes, { session }))
            return verdict
          })
        )
        .pipe(Effect.mapError(toInboxError))
    })

/** An operation that failed ends its transaction, and so does this one. */
const doom = Effect.ignore(
  Effect.flatMap(current, (transaction) =>
    transaction.use(() => Promise.reject(new Error("what was to be done about a message has failed")))
  )
)

/**
 * The inbox in MongoDB. Its collection is made by `ensure`. Call `once` outside of `Transaction.together`, which it
 * uses itself.
 */
export const make = (
  options: Inbox.Options = {}
): Effect.Effect<Context.Tag.Service<Inbox.Inbox>, never, MongoDatabase> =>
  Effect.map(MongoDatabase, ({ db }) =>
    Inbox.over({
      admit: admitIn(db.collection<InboxRecord>(collection), Inbox.lifetimesOf(options)),
      doom
    })
  )

/** The inbox in MongoDB, with its collection and index made. */
export const layer = (
  options: Inbox.Options = {}
): Layer.Layer<Inbox.Inbox, MongoError.MongoError, MongoDatabase> =>
  Layer.effect(Inbox.Inbox, Effect.zipRight(ensure, make(options)))
