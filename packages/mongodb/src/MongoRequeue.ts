import type { OutboxAdmin } from "@twinbox/outbox"
import { Array as Arr, type Context, Effect } from "effect"
import * as AdminPages from "./AdminPages.ts"
import type { DeadRecord } from "./DeadRecord.ts"
import type { MongoCollections } from "./MongoCollections.ts"
import type { MongoDatabase } from "./MongoDatabase.ts"
import * as MongoDeadLetters from "./MongoDeadLetters.ts"
import * as MongoMirrors from "./MongoMirrors.ts"
import * as MongoOwing from "./MongoOwing.ts"
import { fromMessage, type OutboxRecord, toStored } from "./OutboxRecord.ts"
import { toOutboxError } from "./StoreError.ts"
import * as Transaction from "./Transaction.ts"

type Admin = Context.Tag.Service<OutboxAdmin.OutboxAdmin>

/** A dead letter whose record is a message. */
interface Readable {
  readonly letter: DeadRecord
  readonly record: OutboxRecord
}

/** What a letter of this sink was about, no sink could read. */
const anySink = "*"

const readable = (letter: DeadRecord): ReadonlyArray<Readable> => {
  const stored = toStored(letter.record)
  return stored._tag === "Message" && letter.sink !== anySink
    ? [{ letter, record: fromMessage(stored.message) }]
    : []
}

/** A message that several sinks gave up on comes back once. */
const owed = (letters: ReadonlyArray<Readable>): ReadonlyArray<MongoOwing.Owed> =>
  Object.values(Arr.groupBy(letters, ({ record }) => record._id)).map((group) => ({
    record: group[0].record,
    sinks: group.map(({ letter }) => letter.sink),
    history: group.flatMap(({ letter }) => letter.history)
  }))

const idsOf = (records: ReadonlyArray<Pick<DeadRecord, "_id">>) => ({
  _id: { $in: records.map(({ _id }) => _id) }
})

export const make = (
  database: Context.Tag.Service<MongoDatabase>,
  collections: MongoCollections
): Pick<Admin, "requeue" | "discard"> => {
  const { dead, sinks } = collections

  /** Letters of mirrors that have nothing to gain: MongoDB has a newer state of the key. */
  const superseded = (letters: ReadonlyArray<Readable>) =>
    Effect.gen(function* () {
      const mirrors = yield* Transaction.use((session) =>
        sinks.find({ isMirror: true }, { session, projection: { _id: 1 } }).toArray()
      )
      const names = new Set(mirrors.map(({ _id }) => _id))
      const ofMirrors = letters.filter(({ letter }) => names.has(letter.sink))
      const keys = new Set(ofMirrors.map(({ record }) => record.key))
      const newest = yield* MongoMirrors.newestOf(database.db, collections, [...keys])
      return new Set(ofMirrors.filter(({ record }) => (newest.get(record.key) ?? 0) > record.sequence))
    })

  const requeuePage = (page: ReadonlyArray<Pick<DeadRecord, "_id">>) =>
    Effect.gen(function* () {
      const letters = yield* Transaction.use((session) => dead.find(idsOf(page), { session }).toArray())
      const messages = letters.flatMap(readable)
      const left = yield* superseded(messages)
      const wanted = messages.filter((message) => !left.has(message))
      if (wanted.length > 0) {
        yield* MongoOwing.oweAgain(collections, owed(wanted))
        yield* Transaction.use((session) =>
          dead.deleteMany(idsOf(wanted.map(({ letter }) => letter)), { session })
        )
      }
      return {
        requeued: wanted.length,
        superseded: left.size,
        corrupt: letters.length - messages.length
      }
    })

  const requeue: Admin["requeue"] = (filter, progress) =>
    Effect.gen(function* () {
      let total: OutboxAdmin.Requeued = { requeued: 0, superseded: 0, corrupt: 0 }
      yield* AdminPages.each(
        MongoDeadLetters.pages(collections, "requeue", filter),
        (page) =>
          Transaction.runIn(database, requeuePage(page)).pipe(
            Effect.mapError(toOutboxError("requeue")),
            Effect.map((counts) => {
              total = {
                requeued: total.requeued + counts.requeued,
                superseded: total.superseded + counts.superseded,
                corrupt: total.corrupt + counts.corrupt
              }
            })
          ),
        progress
      )
      return total
    })

  const discardPage = (
    filter: OutboxAdmin.DeadFilter,
    page: ReadonlyArray<Pick<DeadRecord, "_id" | "slot">>
  ) =>
    Effect.gen(function* () {
      const { deletedCount } = yield* Transaction.use((session) =>
        dead.deleteMany({ $and: [MongoDeadLetters.filterOf(filter), idsOf(page)] }, { session })
      )
      yield* MongoOwing.raiseChanges(
        collections,
        page.map(({ slot }) => slot)
      )
      return deletedCount
    })

  const discard: Admin["discard"] = (filter, progress) =>
    Effect.gen(function* () {
      let discarded = 0
      yield* AdminPages.each(
        MongoDeadLetters.pages(collections, "discard", filter),
        (page) =>
          Transaction.runIn(database, discardPage(filter, page)).pipe(
            Effect.mapError(toOutboxError("discard")),
            Effect.map((deleted) => void (discarded += deleted))
          ),
        progress
      )
      return discarded
    })

  return { requeue, discard }
}
