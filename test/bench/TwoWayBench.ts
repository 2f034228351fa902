import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { MongoDatabase } from "@twinbox/mongodb"
import { RedisConnection, RedisOutbox } from "@twinbox/redis"
import { Effect } from "effect"
import { ObjectId } from "mongodb"
import * as BenchCustomer from "./BenchCustomer.ts"
import { layerOf, type Servers } from "./BenchServers.ts"
import type { Figure } from "./Figure.ts"
import { percentile, round } from "./Measure.ts"
import { within } from "./TimeLimit.ts"
import * as TwoWayParts from "./TwoWayParts.ts"
import * as Watcher from "./Watcher.ts"

/** From the acknowledgement on one side until it is visible on the other, in milliseconds. */
export interface Lag {
  readonly p50Millis: number
  readonly p99Millis: number
}

export interface Lags {
  /** Written in MongoDB, visible in Redis. */
  readonly toRedis: Lag
  /** Written in Redis, visible in MongoDB. */
  readonly toMongo: Lag
}

export interface TwoWayResult {
  readonly writesPerSecond: number
  readonly twinbox: Lags
  readonly handWritten: Lags
}

/** One way of keeping two stores in step. A write returns its id when it is acknowledged. */
interface Sides {
  readonly writeMongo: (n: number) => Effect.Effect<string, unknown>
  readonly writeRedis: (n: number) => Effect.Effect<string, unknown>
  /** The Redis key of an id. */
  readonly keyOf: (id: string) => string
  readonly collection: string
}

/** Both sides together. */
const writesPerSecond = 200

const twinbox = Effect.gen(function* () {
  const repository = yield* TwoWayParts.makeRepository
  const outbox = yield* RedisOutbox.make(TwoWayParts.redisOptions)
  const sides: Sides = {
    writeMongo: (n) => Effect.map(repository.create(BenchCustomer.customer(n)), ({ _id }) => _id),
    writeRedis: (n) => {
      const { createdAt, ...rest } = BenchCustomer.customer(n)
      const document = { ...rest, createdAt: createdAt.toISOString() }
      const id = new ObjectId().toHexString()
      return Effect.as(outbox.write({ operation: "create", id, document }), id)
    },
    keyOf: (id) => `customer_v2:${id}`,
    collection: "customers"
  }
  return sides
})

const byHand = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  const redis = yield* RedisConnection.RedisConnection
  const customers = db.collection<{ _id: string }>(TwoWayParts.handCollection)
  const sides: Sides = {
    writeMongo: (n) => {
      const _id = new ObjectId().toHexString()
      const document = { ...BenchCustomer.customer(n), _id }
      return Effect.as(
        Effect.promise(() => customers.insertOne(document, { writeConcern: { w: "majority" } })),
        _id
      )
    },
    writeRedis: (n) => {
      const id = new ObjectId().toHexString()
      const json = JSON.stringify(BenchCustomer.customer(n))
      return Effect.as(
        redis.pipeline([
          ["HSET", `hand:${id}`, "version", "0", "json", json],
          ["XADD", TwoWayParts.handLog, "*", "id", id, "json", json]
        ]),
        id
      )
    },
    keyOf: (id) => `hand:${id}`,
    collection: TwoWayParts.handCollection
  }
  return sides
})

const program = fileURLToPath(new URL("TwoWayProcess.ts", import.meta.url))

/** Starts what carries writes over in a process of its own, as the role `relay` is one; it ends with the scope. */
const startCarrier = (settings: TwoWayParts.Carrier) =>
  Effect.acquireRelease(
    Effect.async<ChildProcess>((resume) => {
      const child = fork(program, [JSON.stringify(settings)], {
        execPath: process.execPath,
        execArgv: ["--conditions=twinbox-source"]
      })
      child.once("message", () => resume(Effect.succeed(child)))
      child.once("exit", (code) => resume(Effect.dieMessage(`a carrier has ended with ${code}`)))
    }),
    (child) =>
      Effect.async<void>((resume) => {
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGTERM")
      })
  )

/** The engine compiles what carries writes over while it does so: in the first seconds it is many times slower. */
const warmUpSeconds = 15

interface Samples {
  readonly toRedis: Array<number>
  readonly toMongo: Array<number>
}

/** Writes on both sides in turn, each at its time whether those before it are done or not, and sees them arrive. */
const measure = (servers: Servers, database: string, sides: Sides, seconds: number) =>
  Effect.gen(function* () {
    const keys = yield* Watcher.start("KeyWatcher.ts", { redisUrl: servers.redisUrl })
    const documents = yield* Watcher.start("DocumentWatcher.ts", {
      mongoUri: servers.mongoUri,
      database,
      collections: [sides.collection]
    })
    yield* Effect.sleep("1 second")
    const samples: Samples = { toRedis: [], toMongo: [] }
    const one = (
      write: Effect.Effect<string, unknown>,
      seen: (id: string) => Promise<bigint>,
      into: Array<number>
    ) =>
      Effect.gen(function* () {
        const id = yield* write
        const acknowledged = process.hrtime.bigint()
        const visible = yield* Effect.promise(() => seen(id))
        into.push(Math.max(0, Number(visible - acknowledged) / 1_000_000))
      })
    const write = (n: number, into: Samples) =>
      n % 2 === 0
        ? one(sides.writeMongo(n), (id) => keys.written(sides.keyOf(id)), into.toRedis)
        : one(sides.writeRedis(n), documents.written, into.toMongo)
    const during = (lasting: number, into: Samples) =>
      Effect.suspend(() => {
        const start = performance.now()
        return Effect.forEach(
          Array.from({ length: Math.round(writesPerSecond * lasting) }, (_, n) => n),
          (n) => {
            const due = start + (n * 1_000) / writesPerSecond
            return Effect.delay(write(n, into), Math.max(0, due - performance.now()))
          },
          { concurrency: "unbounded", discard: true }
        )
      }).pipe(within("2 minutes", "every write had arrived on the other side"))
    yield* during(warmUpSeconds, { toRedis: [], toMongo: [] })
    yield* during(seconds, samples)
    return samples
  })

const lagOf = (values: ReadonlyArray<number>): Lag => ({
  p50Millis: round(percentile(values, 0.5), 2),
  p99Millis: round(percentile(values, 0.99), 2)
})

const lagsOf = (samples: ReadonlyArray<Samples>): Lags => ({
  toRedis: lagOf(samples.flatMap(({ toRedis }) => toRedis)),
  toMongo: lagOf(samples.flatMap(({ toMongo }) => toMongo))
})

/**
 * (k) Acknowledged on one side -> visible on the other, 200 writes a second, half of them in MongoDB and half in Redis,
 * against two loops by hand. What carries them over is a process of its own in both cases. The two take turns.
 */
export const run = (servers: Servers, rounds: number, seconds: number) =>
  Effect.gen(function* () {
    const turn = <E, R>(kind: TwoWayParts.Carrier["kind"], make: Effect.Effect<Sides, E, R>, at: number) => {
      const database = `twoway_${kind}_${at}`
      return Effect.gen(function* () {
        const sides = yield* make
        yield* startCarrier({ kind, database, ...servers })
        return yield* measure(servers, database, sides, seconds)
      }).pipe(Effect.scoped, Effect.provide(layerOf(servers.mongoUri, database, servers.redisUrl)))
    }
    const own: Array<Samples> = []
    const hand: Array<Samples> = []
    for (let at = 0; at < rounds; at++) {
      own.push(yield* turn("twinbox", twinbox, at))
      hand.push(yield* turn("hand", byHand, at))
    }
    return { writesPerSecond, twinbox: lagsOf(own), handWritten: lagsOf(hand) } satisfies TwoWayResult
  })

export const figures = ({ handWritten, twinbox }: TwoWayResult): ReadonlyArray<Figure> =>
  (["toRedis", "toMongo"] as const).flatMap((way) => {
    const name = way === "toRedis" ? "MongoDB -> Redis" : "Redis -> MongoDB"
    const unit = "ms"
    return [
      { name: `(k) ${name}, p50`, measured: twinbox[way].p50Millis, unit, atMost: 10 },
      { name: `(k) ${name}, p99`, measured: twinbox[way].p99Millis, unit, atMost: 100 },
      { name: `    the same by hand, p50`, measured: handWritten[way].p50Millis, unit },
      { name: `    the same by hand, p99`, measured: handWritten[way].p99Millis, unit }
    ]
  })
