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
import { attempt, toOutboxError } from "./StoreError.ts"
import * as Transaction from "./Transaction.ts"

/** Only what the sink takes: an original must never get to a sink that is for anonymized data. */
const filterOf = (filter: OutboxAdmin.ReplayFilter, taken: ReadonlyArray<string>) => ({
  topic: { $in: taken.filter((topic) => filter.topic === undefined || topic === filter.topic) },
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
        const sink = yield* attempt("replay", () => collections.sinks.findOne({ _id: filter.sink }))
        const wanted = filterOf(filter, sink?.topics ?? [])
        const cursor = yield* MongoReads.delivered(client, db, wanted, AdminPages.pageSize)
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
