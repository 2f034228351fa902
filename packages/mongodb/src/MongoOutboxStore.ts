import {
  type Message,
  OutboxError,
  OutboxStore,
  type Transaction as OutboxTransaction
} from "@twinbox/outbox"
import { type Context, Effect, Layer } from "effect"
import type { AnyBulkWriteOperation, ClientSession, Db } from "mongodb"
import { MongoDatabase } from "./MongoDatabase.ts"
import * as MongoError from "./MongoError.ts"
import * as MongoIndexes from "./MongoIndexes.ts"
import { collections, indexNames } from "./MongoIndexes.ts"
import * as MongoReads from "./MongoReads.ts"
import * as OutboxRecord from "./OutboxRecord.ts"
import * as Transaction from "./Transaction.ts"

interface LeaseRecord {
  readonly _id: number
  readonly owner: string | null
  readonly epoch: number
  readonly clean: boolean
}

interface SinkRecord {
  readonly _id: string
  readonly topics: ReadonlyArray<string>
}

const reasonOf = (error: MongoError.MongoError): OutboxError.OutboxErrorReason => {
  switch (error._tag) {
    case "DuplicateKey":
      return "DuplicateSequence"
    case "TransactionTooLarge":
      return "TooLarge"
    case "Unavailable":
    case "WriteContention":
    case "CommitUnknown":
      return "Unavailable"
    case "Refused":
      return "Refused"
  }
}

const toOutboxError =
  (operation: string) =>
  (error: MongoError.MongoError | OutboxError.OutboxError): OutboxError.OutboxError =>
    error._tag === "OutboxError"
      ? error
      : new OutboxError.OutboxError({ reason: reasonOf(error), operation, cause: error })

const attempt = <A>(operation: string, call: () => Promise<A>) =>
  Effect.tryPromise({ try: call, catch: (error) => toOutboxError(operation)(MongoError.fromDriver(error)) })

/** One operation in the caller's transaction. */
const inTransaction = <A>(operation: string, call: (session: ClientSession) => Promise<A>) =>
  Effect.flatMap(Transaction.current, (transaction) =>
    Effect.mapError(transaction.use(call), toOutboxError(operation))
  )

/**
 * Writes the lease's slots at their epochs: whoever has taken one of them over conflicts with this
 * transaction or makes it fail.
 */
const fence = (db: Db, lease: OutboxStore.Lease, slots: ReadonlyArray<number>, operation: string) =>
  Effect.gen(function* () {
    const distinct = [...new Set(slots)]
    const held = distinct.map((slot) => ({ _id: slot, epoch: lease.epochs.get(slot) ?? -1 }))
    const result = yield* Transaction.use((session) =>
      db
        .collection<LeaseRecord & { writes: number }>(collections.leases)
        .updateMany({ owner: lease.owner, $or: held }, { $inc: { writes: 1 } }, { session })
    )
    if (result.matchedCount < distinct.length) {
      return yield* new OutboxError.OutboxError({ reason: "StaleLease", operation })
    }
    return undefined
  })

const deadRecord = (
  letter: OutboxStore.DeadLetter,
  record: Partial<OutboxRecord.OutboxRecord>
): OutboxRecord.DeadRecord => ({
  _id: `${letter.messageId}:${letter.sink}`,
  messageId: letter.messageId,
  slot: letter.slot,
  sink: letter.sink,
  key: typeof record.key === "string" ? record.key : null,
  topic: typeof record.topic === "string" ? record.topic : null,
  sequence: typeof record.sequence === "number" ? record.sequence : null,
  reason: letter.reason,
  error: letter.error,
  attempts: letter.attempts,
  blocks: letter.blocks,
  at: new Date(letter.at),
  record
})

/** What a settlement does to the record in `outbox`. */
const settlementWrite = ({
  behind,
  messageId
}: OutboxStore.Settlement): AnyBulkWriteOperation<OutboxRecord.OutboxRecord> => {
  const filter = { _id: OutboxRecord.idValue(messageId) as string }
  return behind.length === 0
    ? { deleteOne: { filter } }
    : { updateOne: { filter, update: { $set: { state: "behind" as const, behind: [...behind] } } } }
}

const writeDeadLetters = (db: Db, letters: ReadonlyArray<OutboxStore.DeadLetter>) =>
  Effect.gen(function* () {
    if (letters.length === 0) return
    const ids = letters.map((letter) => OutboxRecord.idValue(letter.messageId) as string)
    const records = yield* Transaction.use((session) =>
      db
        .collection<OutboxRecord.OutboxRecord>(collections.outbox)
        .find({ _id: { $in: ids } }, { session })
        .toArray()
    )
    const byId = new Map(records.map((record) => [JSON.stringify(record._id), record]))
    const dead = letters.flatMap((letter, at) => {
      const record = byId.get(JSON.stringify(ids[at]))
      return record === undefined ? [] : [deadRecord(letter, record)]
    })
    if (dead.length === 0) return
    yield* Transaction.use((session) =>
      db.collection<OutboxRecord.DeadRecord>(collections.dead).bulkWrite(
        dead.map(({ _id, ...letter }) => ({
          replaceOne: { filter: { _id }, replacement: letter, upsert: true }
        })),
        { session }
      )
    )
  })

/** The outbox in MongoDB. Its collections are made by `MongoIndexes.ensure`. */
export const make: Effect.Effect<
  Context.Tag.Service<OutboxStore.OutboxStore>,
  never,
  MongoDatabase
> = Effect.gen(function* () {
  const database = yield* MongoDatabase
  const { client, db } = database
  const outbox = db.collection<OutboxRecord.OutboxRecord>(collections.outbox)
  const leases = db.collection<LeaseRecord>(collections.leases)
  const sequences = db.collection<{ _id: string; sequence: number }>(collections.sequences)
  const dead = db.collection<OutboxRecord.DeadRecord>(collections.dead)
  const sinks = db.collection<SinkRecord>(collections.sinks)

  /** A transaction of the store's own. */
  const transact = <A>(
    operation: string,
    body: Effect.Effect<A, MongoError.MongoError | OutboxError.OutboxError, OutboxTransaction.Transaction>
  ) =>
    Transaction.run(body).pipe(
      Effect.provideService(MongoDatabase, database),
      Effect.mapError(toOutboxError(operation))
    )

  const append = (messages: ReadonlyArray<Message.Message>) => {
    const records = messages.map(OutboxRecord.fromMessage)
    const [first] = records
    if (first === undefined) return Effect.void
    // A single insert, the usual case, goes without the driver's bulk machinery.
    return Effect.asVoid(
      inTransaction<unknown>("append", (session) =>
        records.length === 1 ? outbox.insertOne(first, { session }) : outbox.insertMany(records, { session })
      )
    )
  }

  const reserve = (key: string, count: number) =>
    Effect.map(
      inTransaction("reserveSequences", (session) =>
        sequences.findOneAndUpdate(
          { _id: key },
          { $inc: { sequence: count } },
          { session, upsert: true, returnDocument: "after" }
        )
      ),
      (document) => [key, (document?.sequence ?? count) - count + 1] as const
    )

  const blockedKeys = ({ sink, slots }: OutboxStore.BehindOptions) =>
    Effect.map(
      attempt("blockedKeys", () => dead.distinct("key", { sink, slot: { $in: [...slots] }, blocks: true })),
      (keys) => keys.filter((key) => key !== null)
    )

  return OutboxStore.OutboxStore.of({
    append,
    reserveSequences: (counts) =>
      Effect.map(
        Effect.forEach(counts, ([key, count]) => reserve(key, count)),
        (first) => new Map(first)
      ),

    claim: (owner, slots) =>
      transact(
        "claim",
        Effect.gen(function* () {
          const owned = { _id: { $in: [...slots] } }
          yield* Transaction.use((session) =>
            leases.updateMany(owned, { $set: { owner, clean: false }, $inc: { epoch: 1 } }, { session })
          )
          const held = yield* Transaction.use((session) => leases.find(owned, { session }).toArray())
          return { owner, epochs: new Map(held.map((lease) => [lease._id, lease.epoch])) }
        })
      ),
    release: (lease) =>
      Effect.asVoid(
        attempt("release", () =>
          leases.bulkWrite(
            [...lease.epochs].map(([slot, epoch]) => ({
              updateOne: {
                filter: { _id: slot, owner: lease.owner, epoch },
                update: { $set: { owner: null, clean: true } }
              }
            })),
            { ordered: false }
          )
        )
      ),

    watch: (slots) => MongoReads.feed(db, slots),
    readReady: (options) => MongoReads.ready(client, db, options),
    readBehind: (options) =>
      Effect.flatMap(blockedKeys(options), (blocked) => MongoReads.behind(client, db, options, blocked)),

    confirm: (messageIds) =>
      messageIds.length === 0
        ? Effect.void
        : Effect.asVoid(
            attempt("confirm", () =>
              outbox.deleteMany({ _id: { $in: [...messageIds] } }, { writeConcern: { w: "majority" } })
            )
          ),
    confirmBehind: (lease, sink, messages) =>
      transact(
        "confirmBehind",
        Effect.gen(function* () {
          const ids = messages.map(({ id }) => id)
          yield* fence(
            db,
            lease,
            messages.map(({ slot }) => slot),
            "confirmBehind"
          )
          yield* Transaction.use((session) =>
            outbox.updateMany(
              { _id: { $in: ids }, state: "behind" },
              { $pull: { behind: sink } },
              { session }
            )
          )
          yield* Transaction.use((session) =>
            outbox.deleteMany({ _id: { $in: ids }, state: "behind", behind: { $size: 0 } }, { session })
          )
        })
      ),
    settle: (lease, settlements) =>
      settlements.length === 0
        ? Effect.void
        : transact(
            "settle",
            Effect.gen(function* () {
              yield* fence(
                db,
                lease,
                settlements.map(({ slot }) => slot),
                "settle"
              )
              yield* writeDeadLetters(
                db,
                settlements.flatMap((settlement) => settlement.dead)
              )
              yield* Transaction.use((session) =>
                outbox.bulkWrite(settlements.map(settlementWrite), { session })
              )
            })
          ),

    blockedKeys,
    registerSinks: (registered) =>
      registered.length === 0
        ? Effect.void
        : Effect.asVoid(
            attempt("registerSinks", () =>
              sinks.bulkWrite(
                registered.map(({ name, topics }) => ({
                  updateOne: {
                    filter: { _id: name },
                    update: { $set: { topics: [...topics] } },
                    upsert: true
                  }
                }))
              )
            )
          ),
    sinks: Effect.map(
      attempt("sinks", () => sinks.find().toArray()),
      (records) => records.map(({ _id, topics }) => ({ name: _id, topics }))
    ),
    stats: attempt("stats", async () => {
      const ready = await outbox.countDocuments({ state: "ready" }, { hint: indexNames.ready })
      const behind = await outbox.countDocuments({ state: "behind" })
      const deadCount = await dead.countDocuments()
      const [oldest] = await outbox
        .aggregate<{ at: Date | null }>([
          { $match: { key: { $ne: "" } } },
          { $group: { _id: null, at: { $min: "$createdAt" } } }
        ])
        .toArray()
      return {
        ready: Math.max(0, ready - OutboxRecord.sentinelCount),
        behind,
        dead: deadCount,
        oldestCreatedAt: oldest?.at?.getTime()
      }
    })
  })
})

/** The outbox in MongoDB, with its collections and indexes made. */
export const layer: Layer.Layer<OutboxStore.OutboxStore, MongoError.MongoError, MongoDatabase> = Layer.effect(
  OutboxStore.OutboxStore,
  Effect.zipRight(MongoIndexes.ensure, make)
)

/**
 * How many messages the outbox holds, about: from the collection's own count, which costs nothing and may
 * include what is just being written. `OutboxStore.stats` counts exactly.
 */
export const estimateDepth: Effect.Effect<number, OutboxError.OutboxError, MongoDatabase> = Effect.flatMap(
  MongoDatabase,
  ({ db }) =>
    Effect.map(
      attempt("estimateDepth", () => db.collection(collections.outbox).estimatedDocumentCount()),
      (count) => Math.max(0, count - OutboxRecord.sentinelCount)
    )
)
