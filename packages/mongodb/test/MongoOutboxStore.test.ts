import {
  MongoDatabase,
  MongoIndexes,
  MongoOutboxAdmin,
  MongoOutboxStore,
  Transaction
} from "@twinbox/mongodb"
import type { Message } from "@twinbox/outbox"
import { type HarnessOptions, OutboxStoreConformance, type StoreHarness } from "@twinbox/testkit"
import { Effect } from "effect"
import { testOutboxDatabase } from "./testDatabase.ts"

interface AnyRecord {
  readonly _id: string
  readonly [field: string]: unknown
}

/** What no writer of this library would insert; the database lets it in without looking. */
const insertUnchecked = ({ db }: MongoDatabase.MongoDatabase["Type"], record: AnyRecord) =>
  Effect.promise(() =>
    db
      .collection<AnyRecord>(MongoIndexes.collections.outbox)
      .insertOne(record, { bypassDocumentValidation: true })
  )

const owedToNobody = ({ createdAt, id, ...message }: Message.Message): AnyRecord => ({
  ...message,
  _id: id,
  createdAt: new Date(createdAt),
  state: "behind",
  behind: []
})

const harness = (options: HarnessOptions) =>
  Effect.gen(function* () {
    const database = yield* testOutboxDatabase
    const provided = Effect.provideService(MongoDatabase.MongoDatabase, database)
    const made: StoreHarness = {
      store: yield* provided(MongoOutboxStore.make(options)),
      admin: yield* provided(MongoOutboxAdmin.make(options)),
      transact: (body) => provided(Transaction.run(body)) as never,
      insertCorrupt: (id, slot, state = "ready") =>
        insertUnchecked(database, { _id: id, slot, key: 17, state }),
      insertOwedToNobody: (message) => insertUnchecked(database, owedToNobody(message))
    }
    return made
  })

OutboxStoreConformance.suite("MongoDB", harness)
