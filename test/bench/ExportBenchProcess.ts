import { NodeRuntime } from "@effect/platform-node"
import { ByteConnection, Exporter, SnapshotSource } from "@twinbox/exporter"
import { MongoDatabase } from "@twinbox/mongodb"
import { RedisConnection } from "@twinbox/redis"
import { Effect, Layer, Redacted, Schedule } from "effect"
import { appendByHand } from "./ExportBenchByHand.ts"
import { type Assignment, collectionName, type Outcome } from "./ExportBench.ts"
import * as PeakMemory from "./PeakMemory.ts"

/* Exports the collection once, in one of two ways, and tells its parent how long that took and what memory it needed. */

const { database, kind, mongoUri, redisUrl } = JSON.parse(process.argv[2] ?? "") as Assignment

const user = { id: "bench", permissions: new Set(["exports:start:anonymized"]) }

const exportIt = (collection: SnapshotSource.Options<SnapshotSource.Stored>["collection"]) =>
  Effect.gen(function* () {
    const exporter = yield* Exporter.make()
    const { records, total } = yield* SnapshotSource.make({ collection })
    const { ended, id } = yield* exporter.start(user, records, {
      view: "anonymized",
      format: "ndjson",
      total
    })
    const { failure = "", state } = yield* ended
    if (state !== "COMPLETED") return yield* Effect.dieMessage(`the export ended as ${state}, ${failure}`)
    return (yield* exporter.status(id, user)).bytes
  }).pipe(Effect.scoped)

const main = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  const redis = yield* RedisConnection.RedisConnection
  const collection = db.collection<SnapshotSource.Stored>(collectionName)
  // Connections are there, and what is compiled at a start is not counted.
  yield* Effect.promise(() => collection.find().limit(1_000).toArray())
  yield* Effect.retry(redis.command(["PING"]), Schedule.spaced("100 millis"))
  yield* PeakMemory.forget
  const before = process.memoryUsage.rss()
  const started = performance.now()
  const bytes = yield* kind === "exporter"
    ? exportIt(collection)
    : Effect.promise(() => appendByHand(collection, redisUrl))
  const outcome: Outcome = {
    bytes,
    millis: performance.now() - started,
    cpuMillis: process.cpuUsage().user / 1_000 + process.cpuUsage().system / 1_000,
    grownBytes: (yield* PeakMemory.bytes) - before
  }
  yield* Effect.async<void>((resume) => void process.send?.(outcome, () => resume(Effect.void)))
  process.disconnect()
}).pipe(
  Effect.scoped,
  Effect.provide(
    Layer.mergeAll(
      MongoDatabase.layer({ uri: Redacted.make(mongoUri), database }),
      RedisConnection.layer({ url: Redacted.make(redisUrl) }),
      ByteConnection.layer({ url: Redacted.make(redisUrl) })
    )
  )
)

NodeRuntime.runMain(main)
