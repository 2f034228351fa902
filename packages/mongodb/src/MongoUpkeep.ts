import { type OutboxError, type OutboxStore, Slot } from "@twinbox/outbox"
import { type Context, Effect } from "effect"
import { type Filter, MongoBulkWriteError, type Document } from "mongodb"
import { majority, type LeaseRecord, type MongoCollections } from "./MongoCollections.ts"
import type { MongoFence } from "./MongoFence.ts"
import { indexNames } from "./MongoIndexes.ts"
import { owedToNobody, type Retire } from "./MongoRetention.ts"
import * as MongoView from "./MongoView.ts"
import { type OutboxRecord, isSentinel, toCorrupt } from "./OutboxRecord.ts"
import { attempt } from "./StoreError.ts"
import * as Transaction from "./Transaction.ts"

export type MongoUpkeep = Pick<
  Context.Tag.Service<OutboxStore.OutboxStore>,
  "registerSinks" | "promote" | "sweepOrphans"
>

/** Messages made ready by one command, at most. */
const promotePage = 1_000

/** Records of each kind that one sweep finds, at most. */
const maxOrphans = 1_000

const duplicateKey = 11_000

/** How many of an unordered batch were changed; a place that is taken keeps one message waiting and no other. */
const modifiedIn = (error: unknown): number => {
  if (error instanceof MongoBulkWriteError) {
    const failures = [error.writeErrors].flat()
    if (failures.every(({ code }) => code === duplicateKey)) return error.modifiedCount
  }
  throw error
}

/** Records of these slots that no read comes across. What has no slot belongs to the owner of slot 0. */
const strays = (slots: ReadonlyArray<number>): Document => ({
  $or: [
    {
      slot: { $in: slots },
      $or: [
        { state: { $nin: ["ready", "behind", "scheduled"] } },
        { state: "behind", behind: { $not: { $type: "array" } } },
        { state: "scheduled", availableAt: { $not: { $type: "date" } } }
      ]
    },
    ...(slots.includes(0) ? [{ slot: { $nin: Slot.all } }] : [])
  ]
})

/** Messages that nobody will ever confirm. */
const orphans = (slots: ReadonlyArray<number>, sinks: ReadonlyArray<string>): Filter<OutboxRecord> => ({
  state: "behind",
  slot: { $in: [...slots] },
  $or: [{ behind: [] }, { behind: { $elemMatch: { $nin: [...sinks] } } }]
})

export const make = (
  { leases, outbox, sinks }: MongoCollections,
  fence: MongoFence,
  retire: Retire
): MongoUpkeep => {
  const registerSinks: MongoUpkeep["registerSinks"] = (registered) =>
    registered.length === 0
      ? Effect.void
      : Effect.asVoid(
          attempt("registerSinks", () =>
            sinks.bulkWrite(
              registered.map(({ isMirror, name, topics }) => ({
                updateOne: {
                  filter: { _id: name },
                  update: { $set: { isMirror }, $addToSet: { topics: { $each: [...topics] } } },
                  upsert: true
                }
              })),
              majority
            )
          )
        )

  const makeReady = async (ids: ReadonlyArray<string>): Promise<number> => {
    try {
      const { modifiedCount } = await outbox.bulkWrite(
        ids.map((_id) => ({
          updateOne: { filter: { _id, state: "scheduled" }, update: { $set: { state: "ready" } } }
        })),
        { ordered: false, ...majority }
      )
      return modifiedCount
    } catch (error) {
      return modifiedIn(error)
    }
  }

  const promoteNext = (slots: ReadonlyArray<number>) =>
    attempt("promote", async () => {
      const found = await outbox
        .find({ ...MongoView.due, slot: { $in: [...slots] } }, { projection: { _id: 1 } })
        .hint(indexNames.scheduled)
        .limit(promotePage)
        .toArray()
      const promoted = found.length === 0 ? 0 : await makeReady(found.map(({ _id }) => _id))
      return { promoted, isLast: found.length < promotePage || promoted === 0 }
    })

  const promote = (
    slots: ReadonlyArray<number>,
    before = 0
  ): Effect.Effect<number, OutboxError.OutboxError> =>
    Effect.flatMap(promoteNext(slots), ({ isLast, promoted }) =>
      isLast ? Effect.succeed(before + promoted) : promote(slots, before + promoted)
    )

  /** Outside the transaction, whose relay has no heartbeat as long as it is open: this reads the whole collection. */
  const lookAround = (slots: ReadonlyArray<number>) =>
    attempt("sweepOrphans", async () => {
      const corrupt = await outbox.find(strays(slots)).limit(maxOrphans).toArray()
      const registered = await sinks.find({}, { projection: { _id: 1 } }).toArray()
      const orphaned = await outbox
        .find(orphans(slots, namesOf(registered)), { projection: { _id: 1 } })
        .hint(indexNames.behind)
        .limit(maxOrphans)
        .toArray()
      return {
        corrupt: corrupt.filter((record) => !isSentinel(record)),
        orphaned: orphaned.map(({ _id }) => _id)
      }
    })

  /** The slots that are still the lease's, in the open transaction. */
  const stillHeld = (lease: OutboxStore.Lease) =>
    Transaction.use((session) =>
      leases.find({ owner: lease.owner, _id: { $in: [...lease.epochs.keys()] } }, { session }).toArray()
    ).pipe(
      Effect.map((records: ReadonlyArray<LeaseRecord>) =>
        records.flatMap(({ _id, epoch }) => (lease.epochs.get(_id) === epoch ? [_id] : []))
      )
    )

  /** Judges once more, by one snapshot: a sink that was registered meanwhile is owed what it is owed. */
  const mend = (lease: OutboxStore.Lease, ids: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const held = yield* stillHeld(lease)
      if (ids.length === 0) return { held, mended: 0 }
      const registered = namesOf(
        yield* Transaction.use((session) => sinks.find({}, { session, projection: { _id: 1 } }).toArray())
      )
      const { matchedCount } = yield* Transaction.use((session) =>
        outbox.updateMany(
          { ...orphans(held, registered), _id: { $in: [...ids] } },
          { $pull: { behind: { $nin: registered } } },
          { session, hint: { _id: 1 } }
        )
      )
      return { held, mended: matchedCount }
    })

  const sweepOrphans: MongoUpkeep["sweepOrphans"] = (lease) =>
    Effect.gen(function* () {
      const { corrupt, orphaned } = yield* lookAround([...lease.epochs.keys()])
      const { held, mended } = yield* fence.member("sweepOrphans", lease.owner, mend(lease, orphaned))
      if (mended > 0) yield* retire("sweepOrphans", owedToNobody(orphaned))
      const mine = new Set(held)
      const found = corrupt.map(toCorrupt)
      return { mended, corrupt: found.filter((stored) => stored._tag === "Corrupt" && mine.has(stored.slot)) }
    })

  return { registerSinks, promote, sweepOrphans }
}

const namesOf = (records: ReadonlyArray<{ readonly _id: string }>): Array<string> =>
  records.map(({ _id }) => _id)
