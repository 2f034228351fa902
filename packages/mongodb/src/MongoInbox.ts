import { Inbox, InboxError } from "@twinbox/outbox"
import { type Context, Effect, Exit, Layer } from "effect"
import type { AnyBulkWriteOperation, Collection, Document } from "mongodb"
import * as CoalescedCalls from "./CoalescedCalls.ts"
import * as MongoCall from "./MongoCall.ts"
import { MongoDatabase } from "./MongoDatabase.ts"
import type * as MongoError from "./MongoError.ts"
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

/**
 * Makes the inbox's collection and the index by which its records expire. Safe to run from several processes at
 * once and to run again.
 *
 * Source: https://www.mongodb.com/docs/manual/tutorial/expire-data/#expire-documents-at-a-specific-clock-time
 */
export const ensure: Effect.Effect<void, MongoError.MongoError, MongoDatabase> = Effect.gen(function* () {
  const { db } = yield* MongoDatabase
  yield* MongoIndexes.ensureCollections([collection])
  yield* MongoCall.attempt(() =>
    db.collection(collection).createIndex({ expireAt: 1 }, { name: "expiry", expireAfterSeconds: 0 })
  )
})

/** The moment, by the server's clock, at which a record of this lifetime expires. */
const expiry = (lifetimeMillis: number | undefined): Document | string =>
  lifetimeMillis === undefined ? "$$REMOVE" : { $add: ["$$NOW", lifetimeMillis] }

type Note = AnyBulkWriteOperation<InboxRecord>

const put = (_id: string, fields: Document): Note => ({
  updateOne: { filter: { _id }, update: [{ $set: fields }], upsert: true }
})

/** Where the record is there already, it stays as it is. */
const noteOfMessage = (messageId: string, { ids }: Inbox.Lifetimes): Note =>
  put(messageId, { expireAt: { $ifNull: ["$expireAt", expiry(ids)] } })

const noteOfKey = (keyId: string, { ordinal, sequence }: Inbox.Place, { guards }: Inbox.Lifetimes): Note =>
  put(keyId, { sequence, ordinal, expireAt: expiry(guards) })

type Ask<Question> = CoalescedCalls.Call<Question, Inbox.Verdict, MongoError.MongoError>

/** Notes messages by the ids of their records, in one round trip: those that are made by it are of new messages. */
const askWithoutGuard = (inbox: Collection<InboxRecord>, lifetimes: Inbox.Lifetimes): Ask<string> =>
  CoalescedCalls.make({
    idOf: (messageId) => messageId,
    run: (messageIds) => {
      const notes = messageIds.map((messageId) => noteOfMessage(messageId, lifetimes))
      return Effect.map(
        Transaction.use((session) => inbox.bulkWrite(notes, { session })),
        ({ upsertedIds }) => messageIds.map((_, at) => Exit.succeed(at in upsertedIds ? "New" : "Duplicate"))
      )
    }
  })

/** A message whose key has a guard, with the ids of the records that tell of them. */
interface Guarded {
  readonly message: Inbox.Identified
  readonly messageId: string
  readonly keyId: string
}

const knownFrom = (records: ReadonlyMap<string, InboxRecord>, { keyId, messageId }: Guarded): Inbox.Known => {
  const newest = records.get(keyId)
  return {
    isApplied: records.has(messageId),
    newest:
      newest === undefined ? undefined : { sequence: newest.sequence ?? 0, ordinal: newest.ordinal ?? 0 }
  }
}

/** Notes messages and the places of their keys, in two round trips if one is new, else in one. */
const askWithGuard = (inbox: Collection<InboxRecord>, lifetimes: Inbox.Lifetimes): Ask<Guarded> =>
  CoalescedCalls.make({
    // One answer decides on the next of the same key.
    idOf: ({ keyId }) => keyId,
    run: (asked) =>
      Effect.gen(function* () {
        const ids = asked.flatMap(({ keyId, messageId }) => [messageId, keyId])
        const found = yield* Transaction.use((session) =>
          inbox.find({ _id: { $in: ids } }, { session, batchSize: ids.length + 1 }).toArray()
        )
        const records = new Map(found.map((record) => [record._id, record]))
        const verdicts = asked.map((one) => Inbox.judge(one.message, knownFrom(records, one)))
        const notes = asked.flatMap(({ keyId, message, messageId }, at) =>
          verdicts[at] === "New"
            ? [noteOfMessage(messageId, lifetimes), noteOfKey(keyId, message, lifetimes)]
            : []
        )
        if (notes.length > 0) yield* Transaction.use((session) => inbox.bulkWrite(notes, { session }))
        return verdicts.map(Exit.succeed)
      })
  })

/**
 * Notes messages in the open transaction; what fibers ask at the same time shares round trips. What it reads belongs
 * to the transaction's snapshot: where somebody else has noted the message or moved its key since then, the write
 * conflicts, and the transaction is tried again.
 */
const admitIn = (inbox: Collection<InboxRecord>, lifetimes: Inbox.Lifetimes): Inbox.Ledger["admit"] => {
  const withoutGuard = askWithoutGuard(inbox, lifetimes)
  const withGuard = askWithGuard(inbox, lifetimes)
  return (consumer, message) => {
    const messageId = messageRecordId(consumer, message)
    const asked =
      consumer.guard === "sequence"
        ? withGuard({ message, messageId, keyId: keyRecordId(consumer, message) })
        : withoutGuard(messageId)
    return Effect.zipRight(current, Effect.mapError(asked, toInboxError))
  }
}

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
