import type { OutboxError, OutboxStore } from "@twinbox/outbox"
import { Effect } from "effect"
import type { Document } from "mongodb"
import type { MongoCollections } from "./MongoCollections.ts"
import { indexNames } from "./MongoIndexes.ts"
import { isKept } from "./MongoRetention.ts"
import { sentinelCount } from "./OutboxRecord.ts"
import { attempt } from "./StoreError.ts"

interface Count {
  readonly count: number
  readonly oldest?: Date | null
}

interface SinkCount extends Count {
  readonly _id: string
}

const counting = { count: { $sum: 1 }, oldest: { $min: "$createdAt" } }

/** Corrupt records can have anything there. */
const millisOf = (date: unknown): number | undefined => (date instanceof Date ? date.getTime() : undefined)

const oldestOf = (counts: ReadonlyArray<Count | undefined>): number | undefined =>
  counts
    .flatMap((counted) => millisOf(counted?.oldest) ?? [])
    .reduce<number | undefined>((a, b) => Math.min(a ?? b, b), undefined)

const totalOf = async ({ outbox }: MongoCollections, filter: Document, hint: string) => {
  const [total] = await outbox
    .aggregate<Count>([{ $match: filter }, { $group: { _id: null, ...counting } }], { hint })
    .toArray()
  return total
}

const behindBySink = ({ outbox }: MongoCollections) =>
  outbox
    .aggregate<SinkCount>(
      [{ $match: { state: "behind" } }, { $unwind: "$behind" }, { $group: { _id: "$behind", ...counting } }],
      { hint: indexNames.behind }
    )
    .toArray()

const deadBySink = ({ dead }: MongoCollections) =>
  dead.aggregate<SinkCount>([{ $group: { _id: "$sink", count: { $sum: 1 } } }]).toArray()

const blockedBySink = ({ dead }: MongoCollections) =>
  dead
    .aggregate<SinkCount>([
      { $match: { blocks: true, key: { $ne: null } } },
      { $group: { _id: { sink: "$sink", key: "$key" } } },
      { $group: { _id: "$_id.sink", count: { $sum: 1 } } }
    ])
    .toArray()

const statsOfSinks = (
  registered: ReadonlyArray<string>,
  behind: ReadonlyArray<SinkCount>,
  dead: ReadonlyArray<SinkCount>,
  blocked: ReadonlyArray<SinkCount>
): ReadonlyMap<string, OutboxStore.SinkStats> => {
  const names = new Set([...registered, ...[...behind, ...dead].map(({ _id }) => _id)])
  const of = (counts: ReadonlyArray<SinkCount>, name: string) => counts.find(({ _id }) => _id === name)
  return new Map(
    [...names].map((name) => [
      name,
      {
        behind: of(behind, name)?.count ?? 0,
        dead: of(dead, name)?.count ?? 0,
        blockedKeys: of(blocked, name)?.count ?? 0,
        oldestCreatedAt: millisOf(of(behind, name)?.oldest)
      }
    ])
  )
}

/** Counts everything, exactly as of some moment for each part. */
export const stats = (
  collections: MongoCollections
): Effect.Effect<OutboxStore.Stats, OutboxError.OutboxError> =>
  attempt("stats", async () => {
    // The key of sentinels is empty.
    const ready = await totalOf(collections, { state: "ready", key: { $ne: "" } }, indexNames.ready)
    const behind = await totalOf(collections, { state: "behind" }, indexNames.behind)
    const scheduled = await totalOf(collections, { state: "scheduled" }, indexNames.scheduled)
    const bySink = await behindBySink(collections)
    const dead = await deadBySink(collections)
    const blocked = await blockedBySink(collections)
    const sinks = await collections.sinks.find({}, { projection: { _id: 1 } }).toArray()
    return {
      ready: ready?.count ?? 0,
      behind: behind?.count ?? 0,
      scheduled: scheduled?.count ?? 0,
      dead: dead.reduce((sum, { count }) => sum + count, 0),
      delivered: await collections.delivered.countDocuments(isKept, { hint: indexNames.deliveredExpiry }),
      oldestCreatedAt: oldestOf([ready, behind, scheduled]),
      sinks: statsOfSinks(
        sinks.map(({ _id }) => _id),
        bySink,
        dead,
        blocked
      )
    }
  })

/** The collection's own count: it costs nothing, and may include what is just being written. */
export const depth = ({
  outbox
}: Pick<MongoCollections, "outbox">): Effect.Effect<number, OutboxError.OutboxError> =>
  Effect.map(
    attempt("depth", () => outbox.estimatedDocumentCount()),
    (count) => Math.max(0, count - sentinelCount)
  )
