import type { OutboxAdmin, OutboxError, OutboxStore } from "@twinbox/outbox"
import { type Context, Effect } from "effect"
import * as AdminPages from "./AdminPages.ts"
import type { MongoCollections } from "./MongoCollections.ts"
import type { MongoDatabase } from "./MongoDatabase.ts"
import { during } from "./MongoDeadLetters.ts"
import * as MongoOwing from "./MongoOwing.ts"
import * as MongoReads from "./MongoReads.ts"
import { isKept } from "./MongoRetention.ts"
import { fromMessage } from "./OutboxRecord.ts"
import { toOutboxError } from "./StoreError.ts"
import * as Transaction from "./Transaction.ts"

const filterOf = (filter: OutboxAdmin.ReplayFilter) => ({
  ...(filter.topic === undefined ? {} : { topic: filter.topic }),
  ...(filter.key === undefined ? {} : { key: filter.key }),
  ...during("deliveredAt", filter),
  ...isKept
})

const owedTo =
  (sink: string) =>
  (stored: OutboxStore.Stored): ReadonlyArray<MongoOwing.Owed> =>
    stored._tag === "Message" ? [{ record: fromMessage(stored.message), sinks: [sink], history: [] }] : []

/** Has kept messages sent once more, each key in its order. */
export const make =
  (
    database: Context.Tag.Service<MongoDatabase>,
    collections: MongoCollections
  ): Context.Tag.Service<OutboxAdmin.OutboxAdmin>["replay"] =>
  (filter, progress = () => Effect.void) =>
    Effect.scoped(
      Effect.gen(function* () {
        const { client, db } = database
        const cursor = yield* MongoReads.delivered(client, db, filterOf(filter), AdminPages.pageSize)
        const next = (before: number): Effect.Effect<number, OutboxError.OutboxError> =>
          Effect.flatMap(cursor.next, (page) => {
            if (page.length === 0) return Effect.succeed(before)
            const owed = page.flatMap(owedTo(filter.sink))
            const done = before + owed.length
            return Transaction.runIn(database, MongoOwing.oweAgain(collections, owed)).pipe(
              Effect.mapError(toOutboxError("replay")),
              Effect.zipRight(progress(done)),
              Effect.zipRight(Effect.suspend(() => next(done)))
            )
          })
        return yield* next(0)
      })
    )
