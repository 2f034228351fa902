import { MongoDatabase, MongoIndexes, MongoOutboxStore, Transaction } from "@twinbox/mongodb"
import { OutboxStoreConformance, type StoreHarness } from "@twinbox/testkit"
import { Effect } from "effect"
import { testOutboxDatabase } from "./testDatabase.ts"

const harness = Effect.gen(function* () {
  const database = yield* testOutboxDatabase
  const provided = Effect.provideService(MongoDatabase.MongoDatabase, database)
  const store = yield* provided(MongoOutboxStore.make)
  const made: StoreHarness = {
    store,
    transact: (body) => provided(Transaction.run(body)) as never,
    insertCorrupt: (id) =>
      Effect.promise(() =>
        database.db
          .collection<{ _id: string }>(MongoIndexes.collections.outbox)
          .insertOne({ _id: id, slot: 3, key: 17, state: "ready" } as never, {
            bypassDocumentValidation: true
          })
      )
  }
  return made
})

OutboxStoreConformance.suite("MongoDB", harness)
