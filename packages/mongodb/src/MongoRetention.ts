import type { OutboxError } from "@twinbox/outbox"
import { Duration, Effect } from "effect"
import type { Document, Filter } from "mongodb"
import { majority, type MongoCollections } from "./MongoCollections.ts"
import { collections as names } from "./MongoIndexes.ts"
import type { OutboxRecord } from "./OutboxRecord.ts"
import { attempt } from "./StoreError.ts"

export interface Options {
  /** How long messages that every sink has are kept for a replay. Default: not at all. */
  readonly keepDelivered?: Duration.DurationInput
}

/** Ends the life of messages that every sink has: they are deleted, and kept for a replay before if so wanted. */
export type Retire = (
  operation: string,
  filter: Filter<OutboxRecord>
) => Effect.Effect<void, OutboxError.OutboxError>

/** Records that nobody owes any longer. The filter says it of each, also after the list of them was made. */
export const owedToNobody = (ids: ReadonlyArray<string>): Filter<OutboxRecord> => ({
  _id: { $in: [...ids] },
  state: "behind",
  behind: []
})

/** Delivered messages that are kept. The server deletes them up to a minute after their time, or later. */
export const isKept: Document = { $expr: { $gt: ["$expireAt", "$$NOW"] } }

const byId = { _id: 1 } as const

/** The copy of a message that is there already stays as it is: a message is confirmed once or twice. */
const copying = (filter: Filter<OutboxRecord>, keepMillis: number): Array<Document> => [
  { $match: filter },
  { $unset: ["state", "behind", "marks", "history"] },
  { $set: { deliveredAt: "$$NOW", expireAt: { $add: ["$$NOW", keepMillis] } } },
  { $merge: { into: names.delivered, on: "_id", whenMatched: "keepExisting", whenNotMatched: "insert" } }
]

export const make = ({ outbox }: MongoCollections, { keepDelivered }: Options): Retire => {
  const remove: Retire = (operation, filter) =>
    Effect.asVoid(attempt(operation, () => outbox.deleteMany(filter, { hint: byId, ...majority })))
  if (keepDelivered === undefined) return remove
  const keepMillis = Duration.toMillis(keepDelivered)
  const keep: Retire = (operation, filter) =>
    Effect.asVoid(
      attempt(operation, () =>
        outbox.aggregate(copying(filter, keepMillis), { hint: byId, ...majority }).toArray()
      )
    )
  return (operation, filter) => Effect.zipRight(keep(operation, filter), remove(operation, filter))
}
