import { fileURLToPath } from "node:url"
import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Effect } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"
import * as BenchProcess from "./BenchProcess.ts"
import { inDatabase, type Servers } from "./BenchServers.ts"
import type { Figure } from "./Figure.ts"
import { median, round } from "./Measure.ts"

export const collections = { originals: "customers", twins: "customers_anonymised" } as const

/** A customer as a program stores it that knows no twins. */
export interface StoredCustomer extends BenchCustomer.BenchCustomer {
  readonly _id: string
}

/**
 * - `byHand`: makes all twins by a hand-written loop;
 * - `reindex`: makes all twins by a reindex;
 * - `idle`: a reindex that finds everything in step;
 * - `verify`: compares everything, which is in step.
 */
type Kind = "byHand" | "reindex" | "idle" | "verify"

/** What a process is to do. */
export interface Assignment extends Servers {
  readonly database: string
  readonly kind: Kind
}

export interface Outcome {
  /** Documents that were gone through, and are in step. */
  readonly documents: number
  readonly millis: number
  readonly cpuMillis: number
  /** Most memory that the process had, from its start on. */
  readonly peakBytes: number
}

export interface SyncResult {
  readonly documents: number
  readonly reindexPerSecond: number
  readonly byHandPerSecond: number
  readonly ratio: number
  readonly idlePerSecond: number
  readonly verifyPerSecond: number
  readonly peakMegabytes: Readonly<Record<Kind, number>>
  readonly outcomes: Readonly<Record<Kind, ReadonlyArray<Outcome>>>
}

const megabyte = 1_000_000
const batch = 5_000

const documentOf = (n: number): StoredCustomer => ({
  _id: n.toString(16).padStart(24, "0"),
  ...BenchCustomer.customer(n)
})

const fill = (count: number) =>
  Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
    Effect.promise(async () => {
      const customers = db.collection<StoredCustomer>(collections.originals)
      for (let first = 0; first < count; first += batch) {
        const size = Math.min(batch, count - first)
        await customers.insertMany(
          Array.from({ length: size }, (_, at) => documentOf(first + at)),
          { ordered: false, writeConcern: { w: 1 } }
        )
      }
    })
  )

/**
 * Customers without twins, none of them with a version. Messages that pile up, as nobody relays them, go too. What that
 * leaves behind is on the disk when the next measurement begins.
 */
const clear = Effect.flatMap(MongoDatabase.MongoDatabase, ({ client, db }) =>
  Effect.promise(async () => {
    for (const name of [collections.twins, MongoIndexes.collections.outbox]) await db.dropCollection(name)
    await db
      .collection(collections.originals)
      .updateMany({ version: { $exists: true } }, { $unset: { version: "" } })
    await client.db("admin").command({ fsync: 1 })
  })
)

const program = fileURLToPath(new URL("SyncBenchProcess.ts", import.meta.url))

const measure = (servers: Servers, rounds: number, count: number) =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const outcomes: Record<Kind, Array<Outcome>> = { byHand: [], reindex: [], idle: [], verify: [] }
    const measureOne = (kind: Kind) =>
      Effect.gen(function* () {
        const assignment: Assignment = { ...servers, database: db.databaseName, kind }
        const outcome = yield* BenchProcess.run<Outcome>(program, assignment, BenchProcess.memoryFlags.sync)
        if (outcome.documents !== count) {
          return yield* Effect.dieMessage(`${kind}: ${outcome.documents} of ${count} customers`)
        }
        outcomes[kind].push(outcome)
      })
    yield* fill(count)
    for (let left = rounds; left > 0; left--) {
      // They take turns in who is first, and what the last one leaves is what the others need: all in step.
      for (const kind of left % 2 === 1
        ? (["byHand", "reindex"] as const)
        : (["reindex", "byHand"] as const)) {
        yield* clear
        yield* measureOne(kind)
      }
    }
    for (let at = 0; at < rounds; at++) {
      yield* measureOne("verify")
      yield* measureOne("idle")
    }
    const perSecond = (kind: Kind) =>
      median(outcomes[kind].map(({ documents, millis }) => documents / (millis / 1_000)))
    const peak = (kind: Kind) =>
      round(Math.max(...outcomes[kind].map(({ peakBytes }) => peakBytes / megabyte)))
    const result: SyncResult = {
      documents: count,
      reindexPerSecond: round(perSecond("reindex")),
      byHandPerSecond: round(perSecond("byHand")),
      ratio: round(perSecond("reindex") / perSecond("byHand"), 2),
      idlePerSecond: round(perSecond("idle")),
      verifyPerSecond: round(perSecond("verify")),
      peakMegabytes: {
        byHand: peak("byHand"),
        reindex: peak("reindex"),
        idle: peak("idle"),
        verify: peak("verify")
      },
      outcomes
    }
    return result
  })

/** (p) A reindex of foreign customers against twins made by hand; a reindex and a comparison with nothing to do. */
export const run = (servers: Servers, rounds: number, documents: number) =>
  inDatabase(servers, "sync", measure(servers, rounds, documents))

export const figures = (result: SyncResult): ReadonlyArray<Figure> => [
  { name: `(p) reindex of ${result.documents} customers / by hand`, measured: result.ratio, atLeast: 0.7 },
  { name: "    peak memory", measured: result.peakMegabytes.reindex, unit: "MB", atMost: 300 },
  { name: "    peak memory by hand", measured: result.peakMegabytes.byHand, unit: "MB" },
  { name: "    reindex with nothing to do", measured: result.idlePerSecond, unit: "documents/s" },
  { name: "    peak memory of that", measured: result.peakMegabytes.idle, unit: "MB", atMost: 300 },
  { name: "    verify", measured: result.verifyPerSecond, unit: "documents/s" },
  { name: "    peak memory of that", measured: result.peakMegabytes.verify, unit: "MB", atMost: 300 }
]
