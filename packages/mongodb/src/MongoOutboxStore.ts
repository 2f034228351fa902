import { type Message, OutboxStore } from "@twinbox/outbox"
import { type Context, Effect, Layer } from "effect"
import type { ClientSession } from "mongodb"
import * as MongoCollections from "./MongoCollections.ts"
import { MongoDatabase } from "./MongoDatabase.ts"
import type { MongoError } from "./MongoError.ts"
import * as MongoFence from "./MongoFence.ts"
import * as MongoIndexes from "./MongoIndexes.ts"
import * as MongoMembership from "./MongoMembership.ts"
import * as MongoReads from "./MongoReads.ts"
import * as MongoRetention from "./MongoRetention.ts"
import * as MongoSettlement from "./MongoSettlement.ts"
import * as MongoStats from "./MongoStats.ts"
import * as MongoUpkeep from "./MongoUpkeep.ts"
import { fromMessage } from "./OutboxRecord.ts"
import { attempt, toOutboxError } from "./StoreError.ts"
import * as Transaction from "./Transaction.ts"

type Store = Context.Tag.Service<OutboxStore.OutboxStore>

export type Options = MongoRetention.Options

/** One operation in the caller's transaction. */
const inTransaction = <A>(operation: string, call: (session: ClientSession) => Promise<A>) =>
  Effect.flatMap(Transaction.current, (transaction) =>
    Effect.mapError(transaction.use(call), toOutboxError(operation))
  )

const appending = ({
  outbox,
  sequences
}: MongoCollections.MongoCollections): Pick<Store, "append" | "reserveSequences"> => {
  const append = (messages: ReadonlyArray<Message.Message>) => {
    const records = messages.map(fromMessage)
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

  return {
    append,
    reserveSequences: (counts) =>
      Effect.map(
        Effect.forEach(counts, ([key, count]) => reserve(key, count)),
        (first) => new Map(first)
      )
  }
}

const reading = (
  { client, db }: Context.Tag.Service<MongoDatabase>,
  { dead }: MongoCollections.MongoCollections
): Pick<Store, "watch" | "readReady" | "readBehind" | "blockedKeys"> => {
  const blockedKeys = ({ sink, slots }: OutboxStore.BehindOptions) =>
    Effect.map(
      attempt("blockedKeys", () => dead.distinct("key", { sink, slot: { $in: [...slots] }, blocks: true })),
      (keys) => keys.filter((key) => key !== null)
    )
  return {
    watch: (slots) => MongoReads.feed(db, slots),
    readReady: (options) => MongoReads.ready(client, db, options),
    readBehind: (options) =>
      Effect.flatMap(blockedKeys(options), (blocked) =>
        MongoReads.behind(client, db, options, [...new Set([...blocked, ...(options.without ?? [])])])
      ),
    blockedKeys
  }
}

/** The outbox in MongoDB. Its collections are made by `MongoIndexes.ensure`. */
export const make = (options: Options = {}): Effect.Effect<Store, never, MongoDatabase> =>
  Effect.map(MongoDatabase, (database) => {
    const collections = MongoCollections.make(database.db)
    const fence = MongoFence.make(database.client, collections)
    const retire = MongoRetention.make(collections, options)
    return OutboxStore.OutboxStore.of({
      ...appending(collections),
      ...MongoMembership.make(database.client, collections, fence),
      ...reading(database, collections),
      ...MongoSettlement.make(collections, fence, retire, options.keepDelivered !== undefined),
      ...MongoUpkeep.make(collections, fence, retire),
      depth: MongoStats.depth(collections),
      stats: MongoStats.stats(collections)
    })
  })

/** The outbox in MongoDB, with its collections and indexes made. */
export const layer = (
  options: Options = {}
): Layer.Layer<OutboxStore.OutboxStore, MongoError, MongoDatabase> =>
  Layer.effect(OutboxStore.OutboxStore, Effect.zipRight(MongoIndexes.ensure, make(options)))
