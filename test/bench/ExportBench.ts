import { fileURLToPath } from "node:url"
import { MongoDatabase } from "@twinbox/mongodb"
import { RedisConnection } from "@twinbox/redis"
import { Effect } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"
import * as BenchProcess from "./BenchProcess.ts"
import { inDatabase, type Servers } from "./BenchServers.ts"
import type { Figure } from "./Figure.ts"
import { median, round } from "./Measure.ts"

export const collectionName = "customers_anonymised"

type Kind = "exporter" | "byHand"

/** What a process is to do. */
export interface Assignment extends Servers {
  readonly database: string
  readonly kind: Kind
}

export interface Outcome {
  readonly bytes: number
  readonly millis: number
  readonly cpuMillis: number
  /** How much more memory it had at its peak than before. */
  readonly grownBytes: number
}

export interface ExportResult {
  readonly gigabytes: number
  readonly exporterMegabytesPerSecond: number
  readonly byHandMegabytesPerSecond: number
  readonly ratio: number
  readonly grownMegabytes: number
  readonly byHandGrownMegabytes: number
  readonly outcomes: Readonly<Record<Kind, ReadonlyArray<Outcome>>>
}

const megabyte = 1_000_000
const fullBytes = 1_000 * megabyte
const batch = 2_000

/** Makes a customer about a kilobyte of JSON. */
const history = "bought something, sent it back, wrote about it and bought it again. ".repeat(10)

const documentOf = (n: number) => ({
  _id: n.toString(16).padStart(24, "0"),
  version: 1 + (n % 7),
  ...BenchCustomer.customer(n),
  history
})

const documentBytes = JSON.stringify({ ...documentOf(100_000), deleted: false }).length + 1

const fill = (count: number) =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const collection = db.collection<ReturnType<typeof documentOf>>(collectionName)
    const insert = (first: number) =>
      Effect.promise(() =>
        collection.insertMany(
          Array.from({ length: Math.min(batch, count - first) }, (_, at) => documentOf(first + at)),
          { ordered: false, writeConcern: { w: 1 } }
        )
      )
    yield* Effect.forEach(
      Array.from({ length: Math.ceil(count / batch) }, (_, at) => at * batch),
      insert,
      { concurrency: 2, discard: true }
    )
  })

const program = fileURLToPath(new URL("ExportBenchProcess.ts", import.meta.url))

const measure = (servers: Servers, rounds: number, scale: number) =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const redis = yield* RedisConnection.RedisConnection
    yield* fill(Math.ceil((fullBytes * scale) / documentBytes))
    const outcomes: Record<Kind, Array<Outcome>> = { exporter: [], byHand: [] }
    for (let at = 0; at < rounds; at++) {
      for (const kind of at % 2 === 0
        ? (["byHand", "exporter"] as const)
        : (["exporter", "byHand"] as const)) {
        const assignment: Assignment = { ...servers, database: db.databaseName, kind }
        outcomes[kind].push(
          yield* BenchProcess.run<Outcome>(program, assignment, BenchProcess.memoryFlags.app)
        )
        yield* Effect.orDie(redis.command(["FLUSHALL"]))
      }
    }
    const perSecond = (kind: Kind) =>
      median(outcomes[kind].map(({ bytes, millis }) => bytes / megabyte / (millis / 1_000)))
    const grown = (kind: Kind) => Math.max(...outcomes[kind].map(({ grownBytes }) => grownBytes / megabyte))
    const result: ExportResult = {
      gigabytes: round((outcomes.exporter[0]?.bytes ?? 0) / (1_000 * megabyte), 2),
      exporterMegabytesPerSecond: round(perSecond("exporter"), 1),
      byHandMegabytesPerSecond: round(perSecond("byHand"), 1),
      ratio: round(perSecond("exporter") / perSecond("byHand"), 2),
      grownMegabytes: round(grown("exporter")),
      byHandGrownMegabytes: round(grown("byHand")),
      outcomes
    }
    return result
  })

/** (o) An export of a collection, against the same read, encoded and appended by hand. */
export const run = (servers: Servers, rounds: number, scale: number) =>
  inDatabase(servers, "export", measure(servers, rounds, scale))

export const figures = (result: ExportResult): ReadonlyArray<Figure> => [
  { name: `(o) export of ${result.gigabytes} GB / by hand`, measured: result.ratio, atLeast: 0.7 },
  { name: "    memory it grew by", measured: result.grownMegabytes, unit: "MB", atMost: 100 },
  { name: "    memory of the loop by hand", measured: result.byHandGrownMegabytes, unit: "MB" }
]
