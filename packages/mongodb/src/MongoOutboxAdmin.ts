import { OutboxAdmin } from "@twinbox/outbox"
import { type Context, Effect, Layer } from "effect"
import * as AdminPages from "./AdminPages.ts"
import * as MongoCollections from "./MongoCollections.ts"
import { MongoDatabase } from "./MongoDatabase.ts"
import * as MongoDeadLetters from "./MongoDeadLetters.ts"
import type { MongoError } from "./MongoError.ts"
import * as MongoIndexes from "./MongoIndexes.ts"
import * as MongoReplay from "./MongoReplay.ts"
import * as MongoRequeue from "./MongoRequeue.ts"
import * as MongoRetention from "./MongoRetention.ts"
import * as MongoStats from "./MongoStats.ts"
import * as MongoView from "./MongoView.ts"
import { attempt } from "./StoreError.ts"

type Admin = Context.Tag.Service<OutboxAdmin.OutboxAdmin>

/** The same as the store's. */
export type Options = MongoRetention.Options

const statusOf = (collections: MongoCollections.MongoCollections): Admin["status"] =>
  Effect.gen(function* () {
    const stats = yield* MongoStats.stats(collections)
    const { members, sinks, slots } = yield* attempt("status", () => MongoView.read(collections))
    const owners = new Set(members.map(({ owner }) => owner))
    return {
      stats,
      members: members.map((member) => ({
        ...member,
        slots: slots.filter(({ owner }) => owner === member.owner).length
      })),
      freeSlots: slots.filter(({ owner }) => owner === undefined || !owners.has(owner)).length,
      suspectSlots: slots.filter(({ suspect }) => suspect).length,
      sinks
    }
  })

const removing = (
  { dead, leases, outbox, sinks }: MongoCollections.MongoCollections,
  retire: MongoRetention.Retire
): Admin["removeSink"] => {
  const operation = "removeSink"
  const { majority } = MongoCollections

  const readOwed = (name: string) =>
    attempt(operation, () =>
      outbox
        .find({ state: "behind", behind: name }, { projection: { _id: 1 } })
        .hint(MongoIndexes.indexNames.behind)
        .limit(AdminPages.pageSize)
        .toArray()
    )

  const pull = (name: string, ids: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const { modifiedCount } = yield* attempt(operation, () =>
        outbox.updateMany(
          { _id: { $in: [...ids] }, state: "behind", behind: name },
          { $pull: { behind: name } },
          { hint: { _id: 1 }, ...majority }
        )
      )
      yield* retire(operation, MongoRetention.owedToNobody(ids))
      return modifiedCount
    })

  return (name, progress) =>
    Effect.gen(function* () {
      // First, so that nobody leaves more behind for it.
      const registration = yield* attempt(operation, () => sinks.deleteOne({ _id: name }, majority))
      let owed = 0
      yield* AdminPages.each(
        () => readOwed(name),
        (page) =>
          pull(
            name,
            page.map(({ _id }) => _id)
          ).pipe(Effect.map((count) => void (owed += count))),
        progress
      )
      const letters = yield* attempt(operation, () => dead.deleteMany({ sink: name }, majority))
      // A removal that was interrupted goes on, though the registration is gone.
      if (registration.deletedCount + owed + letters.deletedCount === 0) return undefined
      yield* attempt(operation, () => leases.updateMany({}, { $inc: { changes: 1 } }, majority))
      return owed
    })
}

/** The admin port over MongoDB. */
export const make = (options: Options = {}): Effect.Effect<Admin, never, MongoDatabase> =>
  Effect.map(MongoDatabase, (database) => {
    const collections = MongoCollections.make(database.db)
    return OutboxAdmin.OutboxAdmin.of({
      status: statusOf(collections),
      ...MongoDeadLetters.make(collections),
      ...MongoRequeue.make(database, collections),
      replay: MongoReplay.make(database, collections),
      sinks: Effect.map(
        attempt("sinks", () => collections.sinks.find().toArray()),
        (records) => records.map(MongoView.toSink)
      ),
      removeSink: removing(collections, MongoRetention.make(collections, options))
    })
  })

/** The same, with the outbox's collections and indexes made. */
export const layer = (
  options: Options = {}
): Layer.Layer<OutboxAdmin.OutboxAdmin, MongoError, MongoDatabase> =>
  Layer.effect(OutboxAdmin.OutboxAdmin, Effect.zipRight(MongoIndexes.ensure, make(options)))
