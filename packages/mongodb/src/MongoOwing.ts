import { OutboxStore, type Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Effect } from "effect"
import type { AnyBulkWriteOperation } from "mongodb"
import type { MongoCollections } from "./MongoCollections.ts"
import type { MongoError } from "./MongoError.ts"
import type { HistoryRecord, OutboxRecord } from "./OutboxRecord.ts"
import * as Transaction from "./Transaction.ts"

type InTransaction = Effect.Effect<void, MongoError, OutboxTransaction.Transaction>

/** A message that sinks are to be sent once more. */
export interface Owed {
  readonly record: OutboxRecord
  readonly sinks: ReadonlyArray<string>
  /** Attempts of its former life. */
  readonly history: ReadonlyArray<HistoryRecord>
}

const insertion = ({ history, record, sinks }: Owed): AnyBulkWriteOperation<OutboxRecord> => ({
  insertOne: {
    document: {
      ...record,
      state: "behind",
      behind: [...sinks],
      ...(history.length === 0 ? {} : { history: history.slice(-OutboxStore.maxHistory) })
    }
  }
})

const addition = ({ history, record, sinks }: Owed): AnyBulkWriteOperation<OutboxRecord> => ({
  updateOne: {
    filter: { _id: record._id },
    update: {
      $addToSet: { behind: { $each: [...sinks] } },
      $unset: Object.fromEntries(sinks.map((sink) => [`marks.${sink}`, ""])),
      ...(history.length === 0
        ? {}
        : { $push: { history: { $each: [...history], $slice: -OutboxStore.maxHistory } } })
    }
  }
})

/**
 * Puts messages back into the outbox as behind, or adds the sinks to those that owe it where it is still behind for
 * others, in the open transaction. What is ready or scheduled comes to every sink anyway.
 */
export const oweAgain = ({ leases, outbox }: MongoCollections, owed: ReadonlyArray<Owed>): InTransaction =>
  Effect.gen(function* () {
    const ids = owed.map(({ record }) => record._id)
    const there = yield* Transaction.use((session) =>
      outbox.find({ _id: { $in: ids } }, { session, projection: { state: 1 } }).toArray()
    )
    const states = new Map(there.map(({ _id, state }) => [_id, state]))
    const writes = owed.flatMap((message) => {
      const state = states.get(message.record._id)
      if (state === undefined) return [insertion(message)]
      return state === "behind" ? [addition(message)] : []
    })
    if (writes.length > 0) {
      yield* Transaction.use((session) => outbox.bulkWrite(writes, { session, ordered: false }))
    }
    yield* raiseChanges(
      { leases },
      owed.map(({ record }) => record.slot)
    )
  })

/** Tells relays, in the open transaction, that something was changed in these slots behind their backs. */
export const raiseChanges = (
  { leases }: Pick<MongoCollections, "leases">,
  slots: ReadonlyArray<number>
): InTransaction =>
  slots.length === 0
    ? Effect.void
    : Effect.asVoid(
        Transaction.use((session) =>
          leases.updateMany({ _id: { $in: [...new Set(slots)] } }, { $inc: { changes: 1 } }, { session })
        )
      )
