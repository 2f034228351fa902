import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Relay } from "@twinbox/outbox"
import { TwinRepository } from "@twinbox/repository"
import { Effect } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"
import { inDatabase, type Servers } from "./BenchServers.ts"
import { handWritten } from "./CreateBench.ts"
import { makeSender, makeSink, type OutboxDocument } from "./KafkaBenchParts.ts"
import { percentile, round } from "./Measure.ts"
import { within } from "./TimeLimit.ts"
import * as Watcher from "./Watcher.ts"

/** Save acknowledged -> seen by a consumer of Kafka, in milliseconds. */
export interface Lag {
  readonly p50Millis: number
  readonly p99Millis: number
}

export interface KafkaLatencyResult {
  readonly savesPerSecond: number
  readonly saves: number
  readonly handWritten: Lag
  readonly relay: Lag
}

const savesPerSecond = 100

/** Saves customer number n, and says under which key its record comes when that is acknowledged. */
type Save = (n: number) => Effect.Effect<string, unknown>

const byRelay = (brokers: string, kafkaTopic: string) =>
  Effect.gen(function* () {
    const repository = yield* TwinRepository.make({
      schema: BenchCustomer.BenchCustomer,
      collection: "customers",
      topic: BenchCustomer.topic,
      key: BenchCustomer.key
    })
    const relay = yield* Relay.make({ sinks: [yield* makeSink(brokers, kafkaTopic)] })
    yield* Effect.forkScoped(relay.run)
    yield* Effect.repeat(relay.status, { until: ({ mode }) => mode === "live" })
    const save: Save = (n) =>
      Effect.map(repository.create(BenchCustomer.customer(n)), ({ _id }) => `customer/${_id}`)
    return save
  })

/** The listener that everybody writes first: a change stream on the outbox, each message sent and then deleted. */
const byHand = (brokers: string, kafkaTopic: string) =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const send = yield* makeSender(brokers, kafkaTopic)
    const create = yield* handWritten
    const outbox = db.collection<OutboxDocument>(MongoIndexes.collections.outbox)
    const stream = yield* Effect.acquireRelease(
      Effect.sync(() => outbox.watch([{ $match: { operationType: "insert" } }])),
      (open) => Effect.promise(() => open.close())
    )
    const sendNext = Effect.promise(async () => {
      const event = await stream.tryNext()
      if (event?.operationType !== "insert") return
      await send([event.fullDocument])
      await outbox.deleteOne({ _id: event.documentKey._id })
    })
    yield* Effect.forkScoped(Effect.forever(sendNext))
    const save: Save = (n) => Effect.promise(async () => `hand/${await create(n)}`)
    return save
  })

/** Saves at a steady rate, each at its time whether those before it are done or not, and sees them arrive. */
const measure = (save: Save, watcher: Watcher.Watcher, seconds: number) =>
  Effect.suspend(() => {
    const start = performance.now()
    const one = (n: number) =>
      Effect.gen(function* () {
        const key = yield* save(n)
        const acknowledged = process.hrtime.bigint()
        const seen = yield* Effect.promise(() => watcher.written(key))
        return Math.max(0, Number(seen - acknowledged) / 1_000_000)
      })
    return Effect.forEach(
      Array.from({ length: Math.round(savesPerSecond * seconds) }, (_, n) => n),
      (n) => Effect.delay(one(n), Math.max(0, start + (n * 1_000) / savesPerSecond - performance.now())),
      { concurrency: "unbounded" }
    )
  }).pipe(within("2 minutes", "every save had arrived at the consumer"))

/** The engine compiles what it has not seen before, and is slow until then. */
const warmUpSeconds = 5

const sides = { hand: byHand, relay: byRelay }

const sample = (side: keyof typeof sides, at: number, seconds: number, servers: Servers, brokers: string) => {
  const name = `kafka_latency_${side}_${at}`
  return inDatabase(
    servers,
    name,
    Effect.gen(function* () {
      const save = yield* sides[side](brokers, name)
      const watcher = yield* Watcher.start("KafkaBenchReader.ts", { brokers, kafkaTopic: name })
      yield* Effect.sleep("1 second")
      yield* measure(save, watcher, Math.min(warmUpSeconds, seconds))
      return yield* measure(save, watcher, seconds)
    })
  )
}

const lagOf = (values: ReadonlyArray<number>): Lag => ({
  p50Millis: round(percentile(values, 0.5), 2),
  p99Millis: round(percentile(values, 0.99), 2)
})

/** Save acknowledged -> seen by a consumer of Kafka, at a steady rate, against a change stream sent by hand. */
export const run = (servers: Servers, brokers: string, rounds: number, seconds: number) =>
  Effect.gen(function* () {
    const hand: Array<number> = []
    const relay: Array<number> = []
    for (let at = 0; at < rounds; at++) {
      hand.push(...(yield* sample("hand", at, seconds, servers, brokers)))
      relay.push(...(yield* sample("relay", at, seconds, servers, brokers)))
    }
    const result: KafkaLatencyResult = {
      savesPerSecond,
      saves: relay.length,
      handWritten: lagOf(hand),
      relay: lagOf(relay)
    }
    return result
  })
