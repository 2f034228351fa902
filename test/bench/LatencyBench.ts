import { MongoDatabase } from "@twinbox/mongodb"
import { Relay } from "@twinbox/outbox"
import { RedisConnection, RedisMirror } from "@twinbox/redis"
import { TwinRepository } from "@twinbox/repository"
import { Effect, Fiber } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"
import * as BenchOutbox from "./BenchOutbox.ts"
import { handWritten } from "./CreateBench.ts"
import { layerOf, type Servers } from "./BenchServers.ts"
import { drainByRelay } from "./DrainBench.ts"
import { percentile, round } from "./Measure.ts"
import * as Watcher from "./Watcher.ts"

export interface Percentiles {
  readonly p50Millis: number
  readonly p95Millis: number
  readonly p99Millis: number
}

export interface LatencyResult {
  readonly database: "new" | "after many messages"
  readonly handWritten: Percentiles
  readonly relay: Percentiles
  readonly p50Ratio: number
}

/** Pause between saves: latency is measured, not throughput. */
const pauseMillis = 4

const percentiles = (values: ReadonlyArray<number>): Percentiles => ({
  p50Millis: round(percentile(values, 0.5), 2),
  p95Millis: round(percentile(values, 0.95), 2),
  p99Millis: round(percentile(values, 0.99), 2)
})

/** Saves one customer after another and waits until Redis has it. Milliseconds from the acknowledgement, 0 when it was there before. */
const measure = (
  redisUrl: string,
  save: (n: number) => Effect.Effect<string, unknown>,
  keyOf: (id: string) => string,
  count: number
) =>
  Effect.gen(function* () {
    const { written } = yield* Watcher.start("KeyWatcher.ts", { redisUrl })
    const values: Array<number> = []
    for (let n = 0; n < count; n++) {
      const id = yield* save(n)
      const acknowledged = process.hrtime.bigint()
      const visible = yield* Effect.promise(() => written(keyOf(id)))
      values.push(Math.max(0, Number(visible - acknowledged) / 1_000_000))
      yield* Effect.sleep(pauseMillis)
    }
    return values
  }).pipe(Effect.scoped)

/** The listener that everybody writes first: a change stream on the twins, each copied to Redis. */
const listenByHand = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  const redis = yield* RedisConnection.RedisConnection
  const stream = yield* Effect.acquireRelease(
    Effect.sync(() =>
      db.collection("hand_customers_anonymised").watch([{ $match: { operationType: "insert" } }])
    ),
    (open) => Effect.promise(() => open.close())
  )
  const copyNext = Effect.gen(function* () {
    const event = yield* Effect.promise(() => stream.tryNext())
    if (event?.operationType !== "insert") return
    const twin = event.fullDocument
    yield* redis.command(["HSET", `hand:${String(twin._id)}`, "version", "1", "json", JSON.stringify(twin)])
  })
  return yield* Effect.forkScoped(Effect.forever(copyNext))
})

const byHand = (redisUrl: string, count: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* listenByHand
      const save = yield* handWritten
      yield* Effect.sleep("1 second")
      return yield* measure(
        redisUrl,
        (n) => Effect.promise(() => save(n)),
        (id) => `hand:${id}`,
        count
      )
    })
  )

const byRelay = (redisUrl: string, count: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const repository = yield* TwinRepository.make({
        schema: BenchCustomer.BenchCustomer,
        collection: "customers",
        topic: BenchCustomer.topic,
        key: BenchCustomer.key
      })
      const mirror = yield* RedisMirror.make({ topics: [BenchCustomer.topic], isNew: true })
      const relay = yield* Relay.make({ sinks: [mirror] })
      const running = yield* Effect.fork(relay.run)
      yield* Effect.repeat(relay.status, { until: ({ mode }) => mode === "live" })
      yield* Effect.sleep("1 second")
      const values = yield* measure(
        redisUrl,
        (n) => Effect.map(repository.create(BenchCustomer.customer(n)), ({ _id }) => _id),
        (id) => `customer:${id}`,
        count
      )
      yield* Fiber.interrupt(running)
      return values
    })
  )

/**
 * A service has been running for a while: lets the compiler of the engine see both sides first, in a database of
 * their own, so that the one that is measured stays new. Not measured.
 */
const warmUp = ({ mongoUri, redisUrl }: Servers, scale: number) =>
  Effect.all([comeAndGo(Math.round(50_000 * scale)), byHand(redisUrl, 500), byRelay(redisUrl, 500)], {
    discard: true
  }).pipe(Effect.provide(layerOf(mongoUri, "latency_warm_up", redisUrl)))

const compare = (database: LatencyResult["database"], redisUrl: string, rounds: number, count: number) =>
  Effect.gen(function* () {
    const hand: Array<number> = []
    const relay: Array<number> = []
    for (let at = 0; at < rounds; at++) {
      hand.push(...(yield* byHand(redisUrl, count)))
      relay.push(...(yield* byRelay(redisUrl, count)))
    }
    const result: LatencyResult = {
      database,
      handWritten: percentiles(hand),
      relay: percentiles(relay),
      p50Ratio: round(percentile(relay, 0.5) / percentile(hand, 0.5), 3)
    }
    return result
  })

/** Lets many messages come and go, which leaves as many deleted index entries behind. */
const comeAndGo = (messages: number) =>
  Effect.gen(function* () {
    yield* BenchOutbox.fill(10_000_000, messages)
    yield* Fiber.interrupt(yield* drainByRelay(messages))
  })

/**
 * (c) Save acknowledged -> visible in Redis, on a new database and again after many messages came and went,
 * against a change stream copied to Redis by hand. The two take turns.
 */
export const run = (servers: Servers, rounds: number, scale: number) =>
  Effect.gen(function* () {
    const count = Math.round(250 * scale)
    const { redisUrl } = servers
    yield* warmUp(servers, scale)
    const fresh = yield* compare("new", redisUrl, rounds, count)
    yield* comeAndGo(Math.round(500_000 * scale))
    const used = yield* compare("after many messages", redisUrl, rounds, count)
    return [fresh, used]
  })
