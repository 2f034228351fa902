import { runMain } from "@effect/platform-node/NodeRuntime"
import { MongoDatabase } from "@twinbox/mongodb"
import { TwinSync } from "@twinbox/repository"
import { Effect } from "effect"
import { BenchCustomer, key, topic } from "./BenchCustomer.ts"
import { layerOf } from "./BenchServers.ts"
import * as PeakMemory from "./PeakMemory.ts"
import { type Assignment, collections, type Outcome } from "./SyncBench.ts"
import { makeTwins } from "./SyncBenchByHand.ts"

/* Goes through all customers once, in one of the ways, and tells its parent how long that took and its peak memory. */

const { database, kind, mongoUri, redisUrl } = JSON.parse(process.argv[2] ?? "") as Assignment

/** Makes ready, and gives the work to be measured: it returns the number of customers. */
const prepare = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  if (kind === "byHand") return makeTwins(db)
  const sync = yield* TwinSync.make({ schema: BenchCustomer, collection: collections.originals, topic, key })
  return kind === "verify"
    ? Effect.map(sync.verify({ recheckAfter: 0 }), ({ standing, tally }) => tally.examined - standing)
    : Effect.map(sync.reindex({ fresh: true }), ({ tally }) => tally.examined - tally.failed - tally.unfit)
})

const main = Effect.gen(function* () {
  const work = yield* prepare
  const started = performance.now()
  const cpu = process.cpuUsage()
  const documents = yield* work
  const millis = performance.now() - started
  const { system, user } = process.cpuUsage(cpu)
  const outcome: Outcome = {
    documents,
    millis,
    cpuMillis: (user + system) / 1_000,
    peakBytes: yield* PeakMemory.bytes
  }
  yield* Effect.async<void>((resume) => void process.send?.(outcome, () => resume(Effect.void)))
  process.disconnect()
}).pipe(Effect.scoped, Effect.provide(layerOf(mongoUri, database, redisUrl)))

runMain(main)
