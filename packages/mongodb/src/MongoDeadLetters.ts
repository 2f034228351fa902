import { type OutboxAdmin, OutboxError } from "@twinbox/outbox"
import { Array as Arr, type Context, Effect, Either, Schema } from "effect"
import type { Filter } from "mongodb"
import * as AdminPages from "./AdminPages.ts"
import * as DeadRecord from "./DeadRecord.ts"
import type { MongoCollections } from "./MongoCollections.ts"
import { indexNames } from "./MongoIndexes.ts"
import { attempt } from "./StoreError.ts"

type Admin = Context.Tag.Service<OutboxAdmin.OutboxAdmin>

/** Letters of one page, at most. */
const maxPage = 1_000

const refuse = (operation: string) =>
  Effect.fail(new OutboxError.OutboxError({ reason: "Refused", operation }))

const range = (from: number | undefined, before: number | undefined) => ({
  ...(from === undefined ? {} : { $gte: new Date(from) }),
  ...(before === undefined ? {} : { $lt: new Date(before) })
})

/** The filter of a period, for a field that holds a date. */
export const during = (
  field: string,
  { before, from }: { readonly from?: number; readonly before?: number }
) => (from === undefined && before === undefined ? {} : { [field]: range(from, before) })

export const filterOf = (filter: OutboxAdmin.DeadFilter): Filter<DeadRecord.DeadRecord> => {
  const { before, from, messageIds, ...equal } = filter
  return {
    ...equal,
    ...(messageIds === undefined ? {} : { messageId: { $in: [...messageIds] } }),
    ...during("at", filter)
  }
}

/** Letters that are meant, by their ids: what dies anew meanwhile keeps its id, and is not met twice. */
export const pages =
  ({ dead }: Pick<MongoCollections, "dead">, operation: string, filter: OutboxAdmin.DeadFilter) =>
  (after: Pick<DeadRecord.DeadRecord, "_id"> | undefined) =>
    attempt(operation, () =>
      dead
        .find(
          { $and: [filterOf(filter), after === undefined ? {} : { _id: { $gt: after._id } }] },
          { projection: { _id: 1, slot: 1 } }
        )
        .sort({ _id: 1 })
        .limit(AdminPages.pageSize)
        .toArray()
    )

const Token = Schema.parseJson(Schema.Tuple(Schema.Number, Schema.String))

const tokenOf = ({ _id, at }: DeadRecord.ListedDeadRecord): string => JSON.stringify([at.getTime(), _id])

const following = (after: string | undefined): Either.Either<Filter<DeadRecord.DeadRecord>, unknown> =>
  after === undefined
    ? Either.right({})
    : Either.map(Schema.decodeEither(Token)(after), ([millis, id]) => {
        const at = new Date(millis)
        return { $or: [{ at: { $gt: at } }, { at, _id: { $gt: id } }] }
      })

interface BlockedRecord {
  readonly _id: { readonly sink: string; readonly key: string }
  readonly deadLetters: number
  readonly since: Date
  readonly slot: number
}

export const make = ({
  dead,
  outbox
}: Pick<MongoCollections, "dead" | "outbox">): Pick<Admin, "deadLetters" | "blocked"> => {
  const deadLetters: Admin["deadLetters"] = ({ after, filter, limit }) => {
    const rest = following(after)
    if (limit < 1 || limit > maxPage || Either.isLeft(rest)) return refuse("deadLetters")
    return Effect.map(
      attempt("deadLetters", () =>
        dead
          .find({ $and: [filterOf(filter), rest.right] })
          .project<DeadRecord.ListedDeadRecord>({ record: 0 })
          .sort({ at: 1, _id: 1 })
          .limit(limit + 1)
          .toArray()
      ),
      (records) => {
        const page = records.slice(0, limit)
        const last = page.at(-1)
        return {
          letters: page.map(DeadRecord.toListed),
          next: last === undefined || records.length === page.length ? undefined : tokenOf(last)
        }
      }
    )
  }

  const blockedKeys = (sink: string | undefined, limit: number) =>
    attempt("blocked", () =>
      dead
        .aggregate<BlockedRecord>([
          { $match: { blocks: true, key: { $ne: null }, ...(sink === undefined ? {} : { sink }) } },
          {
            $group: {
              _id: { sink: "$sink", key: "$key" },
              deadLetters: { $sum: 1 },
              since: { $min: "$at" },
              slot: { $first: "$slot" }
            }
          },
          { $sort: { since: 1, _id: 1 } },
          { $limit: limit }
        ])
        .toArray()
    )

  /** How many messages of each of these keys wait at one sink. */
  const waitingAt = (sink: string, blocked: ReadonlyArray<BlockedRecord>) =>
    attempt("blocked", () =>
      outbox
        .aggregate<{ readonly _id: string; readonly waiting: number }>(
          [
            {
              $match: {
                state: "behind",
                behind: sink,
                slot: { $in: [...new Set(blocked.map(({ slot }) => slot))] },
                key: { $in: blocked.map(({ _id }) => _id.key) }
              }
            },
            { $group: { _id: "$key", waiting: { $sum: 1 } } }
          ],
          { hint: indexNames.behind }
        )
        .toArray()
    ).pipe(Effect.map((counts) => new Map(counts.map(({ _id, waiting }) => [_id, waiting]))))

  const blocked: Admin["blocked"] = ({ limit, sink }) =>
    Effect.gen(function* () {
      const records = yield* blockedKeys(sink, limit)
      const bySink = Arr.groupBy(records, ({ _id }) => _id.sink)
      const waiting = new Map<string, ReadonlyMap<string, number>>()
      for (const [name, ofSink] of Object.entries(bySink)) waiting.set(name, yield* waitingAt(name, ofSink))
      return records.map(({ _id, deadLetters, since }) => ({
        ..._id,
        deadLetters,
        since: since.getTime(),
        waiting: waiting.get(_id.sink)?.get(_id.key) ?? 0
      }))
    })

  return { deadLetters, blocked }
}
