import type { Message, OutboxStore } from "@twinbox/outbox"
import { Array as Arr, type Context, Effect } from "effect"
import type { AnyBulkWriteOperation, Filter } from "mongodb"
import * as DeadRecord from "./DeadRecord.ts"
import type { MongoCollections } from "./MongoCollections.ts"
import type { MongoFence } from "./MongoFence.ts"
import { owedToNobody, type Retire } from "./MongoRetention.ts"
import { idValue, type OutboxRecord } from "./OutboxRecord.ts"
import * as Transaction from "./Transaction.ts"

export type MongoSettlement = Pick<
  Context.Tag.Service<OutboxStore.OutboxStore>,
  "mark" | "confirm" | "settle" | "settleBehind"
>

const byId = { _id: 1 } as const

const idsIn = (ids: ReadonlyArray<string>): Filter<OutboxRecord> => ({ _id: { $in: ids.map(idValue) } })

/** What has been left behind meanwhile is owed again. */
const readyOf = (ids: ReadonlyArray<string>): Filter<OutboxRecord> => ({ ...idsIn(ids), state: "ready" })

/** Nobody owes it and nobody gave it up: every sink has it. */
const isConfirmed = ({ behind, dead }: OutboxStore.Settlement): boolean =>
  behind.length === 0 && dead.length === 0

/** What settlements do to the records in `outbox`: one update for each group of sinks that owe the same messages. */
const movesOf = (
  settlements: ReadonlyArray<OutboxStore.Settlement>
): Array<AnyBulkWriteOperation<OutboxRecord>> => {
  const groups = Arr.groupBy(settlements, ({ behind }) => JSON.stringify(behind))
  return Object.values(groups).map((group) => {
    const filter = idsIn(group.map(({ messageId }) => messageId))
    const { behind } = group[0]
    return behind.length === 0
      ? { deleteMany: { filter } }
      : { updateMany: { filter, update: { $set: { state: "behind", behind: [...behind] } } } }
  })
}

export const make = (
  { dead, outbox }: MongoCollections,
  fence: MongoFence,
  retire: Retire,
  /** Whether delivered messages are kept for a replay. */
  keeps: boolean
): MongoSettlement => {
  /** Writes the dead letters of those messages that the filter finds, with copies, and returns the ids of these. */
  const bury = (letters: ReadonlyArray<OutboxStore.DeadLetter>, filter: Filter<OutboxRecord>) =>
    Effect.gen(function* () {
      if (letters.length === 0) return []
      const records = yield* Transaction.use((session) =>
        outbox
          .find({ ...filter, ...idsIn(letters.map(({ messageId }) => messageId)) }, { session, hint: byId })
          .toArray()
      )
      const found = new Map(records.map((record) => [JSON.stringify(record._id), record]))
      const buried = letters.flatMap((letter) => {
        const record = found.get(JSON.stringify(idValue(letter.messageId)))
        return record === undefined ? [] : [DeadRecord.fromLetter(letter, record)]
      })
      if (buried.length === 0) return []
      yield* Transaction.use((session) =>
        dead.bulkWrite(
          buried.map(({ _id, ...replacement }) => ({
            replaceOne: { filter: { _id }, replacement, upsert: true }
          })),
          { session }
        )
      )
      return buried.map(({ messageId }) => messageId)
    })

  const moveSettled = (settlements: ReadonlyArray<OutboxStore.Settlement>) =>
    Effect.gen(function* () {
      if (settlements.length === 0) return
      yield* bury(
        settlements.flatMap((settlement) => settlement.dead),
        {}
      )
      yield* Transaction.use((session) => outbox.bulkWrite(movesOf(settlements), { session, ordered: false }))
    })

  const settle: MongoSettlement["settle"] = (lease, settlements) => {
    if (settlements.length === 0) return Effect.void
    const confirmed = settlements.filter(isConfirmed)
    const slots = settlements.map(({ slot }) => slot)
    const rest = settlements.filter((settlement) => !isConfirmed(settlement))
    const moved = fence.lease("settle", lease, slots, moveSettled(rest))
    return confirmed.length === 0
      ? moved
      : Effect.zipRight(moved, retire("settle", idsIn(confirmed.map(({ messageId }) => messageId))))
  }

  /** Deletes those that no other sink owes: to update them first would double the work. Returns how many that were. */
  const endOwedToOne = (sink: string, confirmed: ReadonlyArray<Message.Message>) =>
    keeps || confirmed.length === 0
      ? Effect.succeed(0)
      : Effect.map(
          Transaction.use((session) =>
            outbox.deleteMany(
              { ...idsIn(confirmed.map(({ id }) => id)), state: "behind", behind: [sink] },
              { session, hint: byId }
            )
          ),
          ({ deletedCount }) => deletedCount
        )

  /** In one transaction. Tells whether there may be messages that nobody owes any longer. */
  const moveBehind = (sink: string, { confirmed, dead: letters }: OutboxStore.BehindOutcome) =>
    Effect.gen(function* () {
      const buried = yield* bury(letters, { state: "behind", behind: sink })
      const mayBeLeft = (yield* endOwedToOne(sink, confirmed)) < confirmed.length
      const ids = [...(mayBeLeft ? confirmed.map(({ id }) => id) : []), ...buried]
      if (ids.length === 0) return false
      yield* Transaction.use((session) =>
        outbox.updateMany(idsIn(ids), { $pull: { behind: sink } }, { session })
      )
      if (buried.length === 0) return mayBeLeft
      // A message that ended as a dead letter is not kept as delivered.
      yield* Transaction.use((session) =>
        outbox.deleteMany(owedToNobody(buried.map(idValue)), { session, hint: byId })
      )
      return mayBeLeft
    })

  const settleBehind: MongoSettlement["settleBehind"] = (lease, sink, outcome) => {
    const { confirmed, dead: letters } = outcome
    const slots = [...confirmed, ...letters].map(({ slot }) => slot)
    if (slots.length === 0) return Effect.void
    return Effect.flatMap(
      fence.lease("settleBehind", lease, slots, moveBehind(sink, outcome)),
      // Not in the transaction, and needs no fence: nobody owes them, whoever says so.
      (mayBeLeft) =>
        mayBeLeft ? retire("settleBehind", owedToNobody(confirmed.map(({ id }) => id))) : Effect.void
    )
  }

  return {
    mark: (lease, sink, messages, to) =>
      messages.length === 0
        ? Effect.void
        : fence.lease(
            "mark",
            lease,
            messages.map(({ slot }) => slot),
            Effect.asVoid(
              Transaction.use((session) =>
                outbox.updateMany(
                  idsIn(messages.map(({ id }) => id)),
                  { $set: { [`marks.${sink}`]: to } },
                  { session }
                )
              )
            )
          ),
    confirm: (messages) =>
      messages.length === 0 ? Effect.void : retire("confirm", readyOf(messages.map(({ id }) => id))),
    settle,
    settleBehind
  }
}
