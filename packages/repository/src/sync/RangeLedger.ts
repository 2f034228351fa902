import { MongoCall, type MongoDatabase, type MongoError, Transaction } from "@twinbox/mongodb"
import { type Context, Effect } from "effect"
import { type Document, Timestamp } from "mongodb"
import type { StoredDocument } from "../StoredDocument.ts"
import * as IdRange from "./IdRange.ts"
import * as Tally from "./Tally.ts"

/** One reindex of a collection, by however many instances. */
export interface Run {
  /** Name of the originals' collection. */
  readonly _id: string
  /** Rises with every reindex of the collection. */
  readonly run: number
  readonly state: "open" | "done"
  /** The cluster's time before anything was compared: what changes from then on is for whoever follows the collection. */
  readonly at: Timestamp
  /** Originals at its beginning, roughly. */
  readonly total: number
  readonly keyVersion: number
  readonly fingerprint: string
}

/** A part of the ids, and how far it is done. */
export interface RangeRecord {
  readonly _id: string
  readonly collection: string
  readonly run: number
  readonly from?: IdRange.Bound
  readonly to?: IdRange.Bound
  readonly isDone: boolean
  readonly owner: string | null
  /** Rises with every claim: who was overtaken finds another one. */
  readonly epoch: number
  readonly tally: Tally.Tally
}

/** What reindexes keep of their progress, so that they can be killed at any time and shared by several instances. */
export interface RangeLedger {
  /** The reindex of the collection that is under way, or was the last one. */
  readonly current: Effect.Effect<Run | undefined, MongoError.MongoError>
  /** Begins a reindex in place of this one, of this number at least. Several who do so at once all get the same. */
  readonly begin: (
    instead: Run | undefined,
    rules: Pick<Run, "keyVersion" | "fingerprint">,
    least?: number
  ) => Effect.Effect<Run, MongoError.MongoError>
  /** Who has ranges that are not done. */
  readonly owners: (run: number) => Effect.Effect<ReadonlyArray<string>, MongoError.MongoError>
  /** Takes a range that nobody has, or one of those who are gone. An owner works on one range at a time. */
  readonly claim: (
    run: number,
    owner: string,
    gone: ReadonlyArray<string>
  ) => Effect.Effect<RangeRecord | undefined, MongoError.MongoError>
  /** Notes that a range is done up to here. False: another one has it by now. */
  readonly advance: (
    range: RangeRecord,
    next: IdRange.Bound | undefined,
    tally: Tally.Tally
  ) => Effect.Effect<boolean, MongoError.MongoError>
  /** Ends a reindex if all of its ranges are done. Returns whether it has ended. */
  readonly finish: (run: number) => Effect.Effect<boolean, MongoError.MongoError>
  /** What has become of the documents so far. */
  readonly tally: (run: number) => Effect.Effect<Tally.Tally, MongoError.MongoError>
}

export const collections = { runs: "sync_runs", ranges: "sync_ranges" } as const

/** Ranges of a reindex, at most. */
const maxRanges = 256

/** Pages of a range, roughly: enough that to claim one costs little. */
const pagesPerRange = 10

const majority = { writeConcern: { w: "majority" } } as const

/** How many ranges so many documents are divided into. */
export const rangeCount = (documents: number, batchSize: number): number =>
  Math.min(maxRanges, Math.max(1, Math.ceil(documents / (batchSize * pagesPerRange))))

const following = (time: Timestamp): Timestamp =>
  new Timestamp({ t: time.getHighBitsUnsigned(), i: time.getLowBitsUnsigned() + 1 })

const bounds = ({ from, to }: IdRange.IdRange) => ({
  ...(from === undefined ? {} : { from }),
  ...(to === undefined ? {} : { to })
})

export const make = (
  database: Context.Tag.Service<MongoDatabase.MongoDatabase>,
  collection: string,
  batchSize: number
): RangeLedger => {
  const { db } = database
  const runs = db.collection<Run>(collections.runs)
  const ranges = db.collection<RangeRecord>(collections.ranges)
  const originals = db.collection<StoredDocument>(collection)

  const current = Effect.map(
    MongoCall.attempt(() => runs.findOne({ _id: collection }, { readConcern: { level: "majority" } })),
    (run) => run ?? undefined
  )

  /** The cluster's next time. */
  const now = Effect.map(
    MongoCall.attempt(() => db.command({ ping: 1 })),
    (reply) => following(reply["operationTime"] as Timestamp)
  )

  const replace = (known: Run | undefined, next: Run, parts: ReadonlyArray<IdRange.IdRange>) =>
    Effect.gen(function* () {
      const found = yield* Transaction.use((session) => runs.findOne({ _id: collection }, { session }))
      if (found !== null && found.run !== known?.run) return found
      yield* Transaction.use((session) =>
        runs.replaceOne({ _id: collection }, next, { session, upsert: true })
      )
      yield* Transaction.use((session) => ranges.deleteMany({ collection }, { session }))
      yield* Transaction.use((session) =>
        ranges.insertMany(
          parts.map((part, at) => ({
            _id: `${collection}/${next.run}/${String(at).padStart(4, "0")}`,
            collection,
            run: next.run,
            ...bounds(part),
            isDone: false,
            owner: null,
            epoch: 0,
            tally: Tally.none
          })),
          { session }
        )
      )
      return next
    })

  const begin: RangeLedger["begin"] = (instead, rules, least = 1) =>
    Effect.gen(function* () {
      // Before the first look at the collection, or there could be changes that nobody learns of. The commit below is
      // acknowledged by a majority, so that reads of the run see at least all that was written before this time.
      const at = yield* now
      const total = yield* MongoCall.attempt(() => originals.estimatedDocumentCount())
      const parts = yield* MongoCall.attempt(() => IdRange.split(originals, rangeCount(total, batchSize)))
      const run = Math.max((instead?.run ?? 0) + 1, least)
      const next: Run = { _id: collection, run, state: "open", at, total, ...rules }
      return yield* Transaction.runIn(database, replace(instead, next, parts))
    })

  const owners: RangeLedger["owners"] = (run) =>
    Effect.map(
      MongoCall.attempt(() => ranges.distinct("owner", { collection, run, isDone: false })),
      (found) => found.filter((owner) => owner !== null)
    )

  const claim: RangeLedger["claim"] = (run, owner, gone) =>
    Effect.map(
      MongoCall.attempt(() =>
        ranges.findOneAndUpdate(
          // A claim whose reply was lost has made a range the owner's, who knows nothing of it.
          { collection, run, isDone: false, owner: { $in: [null, owner, ...gone] } },
          { $set: { owner }, $inc: { epoch: 1 } },
          { sort: { _id: 1 }, returnDocument: "after", ...majority }
        )
      ),
      (range) => range ?? undefined
    )

  const advance: RangeLedger["advance"] = ({ _id, epoch }, next, tally) => {
    const increments: Document = Object.fromEntries(
      Object.entries(tally).map(([name, amount]) => [`tally.${name}`, amount])
    )
    return Effect.map(
      MongoCall.attempt(() =>
        ranges.updateOne(
          { _id, epoch },
          { $set: next === undefined ? { isDone: true, owner: null } : { from: next }, $inc: increments },
          majority
        )
      ),
      ({ matchedCount }) => matchedCount === 1
    )
  }

  const finish: RangeLedger["finish"] = (run) =>
    MongoCall.attempt(async () => {
      if ((await ranges.findOne({ collection, run, isDone: false })) !== null) return false
      await runs.updateOne({ _id: collection, run }, { $set: { state: "done" } }, majority)
      return true
    })

  const tally: RangeLedger["tally"] = (run) =>
    Effect.map(
      MongoCall.attempt(() => ranges.find({ collection, run }, { projection: { tally: 1 } }).toArray()),
      (found) => found.reduce((sum, range) => Tally.add(sum, range.tally), Tally.none)
    )

  return { current, begin, owners, claim, advance, finish, tally }
}
