import { MongoDatabase, MongoInbox } from "@twinbox/mongodb"
import { Relay } from "@twinbox/outbox"
import { RedisConnection, RedisMirror, RedisOutbox, RedisOutboxReader } from "@twinbox/redis"
import { RemoteWrites, TwinRepository, TwinTopic } from "@twinbox/repository"
import { Effect, Layer, Redacted } from "effect"
import { ObjectId } from "mongodb"
import * as BenchCustomer from "./BenchCustomer.ts"
import { layerOf, type Servers } from "./BenchServers.ts"
import type { Figure } from "./Figure.ts"
import { percentile, round } from "./Measure.ts"
import { within } from "./TimeLimit.ts"
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

/** Two sides that keep each other up to date. A write returns its id when it is acknowledged. */
interface Sides {
  readonly writeMongo: (n: number) => Effect.Effect<string, unknown>
  readonly writeRedis: (n: number) => Effect.Effect<string, unknown>
  /** The Redis key of an id. */
  readonly keyOf: (id: string) => string
  readonly collection: string
}

/** Both sides together. */
const writesPerSecond = 200

const originalTopic = TwinTopic.original("customer-original", BenchCustomer.BenchCustomer)

const redisOptions = {
  stream: "customer",
  indexes: (document: unknown) => ({ email: (document as { readonly email?: string } | null)?.email })
}

/** Twinbox: relay and reader in this process, with what the reference app has them do. */
const twinbox = Effect.gen(function* () {
  const repository = yield* TwinRepository.make({
    schema: BenchCustomer.BenchCustomer,
    collection: "customers",
    topic: BenchCustomer.topic,
    originalTopic,
    key: BenchCustomer.key,
    groupCommit: true
  })
  const twins = yield* RedisMirror.make({ topics: [BenchCustomer.topic], isNew: true })
  const originals = yield* RedisMirror.originals({
    topics: [originalTopic],
    isNew: true,
    indexes: redisOptions.indexes
  })
  const relay = yield* Relay.make({ sinks: [twins, originals] })
  yield* Effect.forkScoped(relay.run)
  const remote = RemoteWrites.layer({
    repository,
    schema: BenchCustomer.BenchCustomer,
    consumer: "bench"
  }).pipe(Layer.provide(MongoInbox.layer()))
  const reader = yield* Effect.provide(RedisOutboxReader.make({ ...redisOptions, owner: "bench" }), remote)
  yield* Effect.forkScoped(reader.run)
  yield* Effect.repeat(Effect.delay(relay.status, "20 millis"), { until: ({ mode }) => mode === "live" })
  yield* Effect.repeat(Effect.delay(reader.status, "20 millis"), { until: ({ active }) => active })

  const outbox = yield* RedisOutbox.make(redisOptions)
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

const handCollection = "hand_customers"
const handLog = "hand:writes"

/** The change stream that everybody writes first: each original is copied to Redis. No twin, no outbox, no order. */
const listenToMongo = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  const redis = yield* RedisConnection.RedisConnection
  const stream = yield* Effect.acquireRelease(
    Effect.sync(() => db.collection(handCollection).watch([{ $match: { operationType: "insert" } }])),
    (open) => Effect.promise(() => open.close())
  )
  const copyNext = Effect.gen(function* () {
    const event = yield* Effect.promise(() => stream.tryNext())
    if (event?.operationType !== "insert") return
    const { fullDocument } = event
    yield* redis.command([
      "HSET",
      `hand:${String(fullDocument._id)}`,
      "version",
      "1",
      "json",
      JSON.stringify(fullDocument)
    ])
  })
  yield* Effect.forkScoped(Effect.forever(copyNext))
})

interface HandEntry {
  readonly id: string
  readonly json: string
}

/** The other half: a loop over a stream, each entry of which is inserted into MongoDB. What fails is lost. */
const listenToRedis = (redisUrl: string) =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const blocking = yield* RedisConnection.make({ url: Redacted.make(redisUrl) })
    const customers = db.collection<{ _id: string }>(handCollection)
    let last = "$"
    const next = Effect.gen(function* () {
      const reply = yield* blocking.command([
        "XREAD",
        "COUNT",
        "100",
        "BLOCK",
        "1000",
        "STREAMS",
        handLog,
        last
      ])
      const [[, entries]] = (reply ?? [["", []]]) as unknown as [
        [string, ReadonlyArray<[string, ReadonlyArray<string>]>]
      ]
      yield* Effect.forEach(
        entries,
        ([, [, id = "", , json = ""]]) => {
          const entry: HandEntry = { id, json }
          const document = JSON.parse(entry.json) as object
          return Effect.promise(() =>
            customers.insertOne({ ...document, _id: entry.id }, { writeConcern: { w: "majority" } })
          )
        },
        { concurrency: 16, discard: true }
      )
      last = entries.at(-1)?.[0] ?? last
    })
    // From the end of the log on: what is read must be known before the first write.
    yield* Effect.forkScoped(Effect.forever(next))
  })

const byHand = (redisUrl: string) =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const redis = yield* RedisConnection.RedisConnection
    const customers = db.collection<{ _id: string }>(handCollection)
    yield* Effect.promise(() => db.createCollection(handCollection).catch(() => undefined))
    yield* listenToMongo
    yield* listenToRedis(redisUrl)
    const sides: Sides = {
      writeMongo: (n) => {
        const _id = new ObjectId().toHexString()
        return Effect.as(
          Effect.promise(() =>
            customers.insertOne({ ...BenchCustomer.customer(n), _id }, { writeConcern: { w: "majority" } })
          ),
          _id
        )
      },
      writeRedis: (n) => {
        const id = new ObjectId().toHexString()
        const json = JSON.stringify(BenchCustomer.customer(n))
        return Effect.as(
          redis.pipeline([
            ["HSET", `hand:${id}`, "version", "0", "json", json],
            ["XADD", handLog, "*", "id", id, "json", json]
          ]),
          id
        )
      },
      keyOf: (id) => `hand:${id}`,
      collection: handCollection
    }
    return sides
  })

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
    const count = Math.round(writesPerSecond * seconds)
    const start = performance.now()
    yield* Effect.forEach(
      Array.from({ length: count }, (_, n) => n),
      (n) => {
        const write =
          n % 2 === 0
            ? one(sides.writeMongo(n), (id) => keys.written(sides.keyOf(id)), samples.toRedis)
            : one(sides.writeRedis(n), documents.written, samples.toMongo)
        const due = start + (n * 1_000) / writesPerSecond
        return Effect.delay(write, Math.max(0, due - performance.now()))
      },
      { concurrency: "unbounded", discard: true }
    ).pipe(within("2 minutes", "every write had arrived on the other side"))
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
 * against two loops by hand. The two take turns.
 */
export const run = (servers: Servers, rounds: number, seconds: number) =>
  Effect.gen(function* () {
    const turn = <E, R>(database: string, make: Effect.Effect<Sides, E, R>, time: number) =>
      Effect.scoped(Effect.flatMap(make, (sides) => measure(servers, database, sides, time))).pipe(
        Effect.provide(layerOf(servers.mongoUri, database, servers.redisUrl))
      )
    const own: Array<Samples> = []
    const hand: Array<Samples> = []
    // The first turn of each only warms up.
    for (let at = 0; at <= rounds; at++) {
      const byTwinbox = yield* turn(`twoway_${at}`, twinbox, seconds)
      const byLoops = yield* turn(`twoway_hand_${at}`, byHand(servers.redisUrl), seconds)
      if (at === 0) continue
      own.push(byTwinbox)
      hand.push(byLoops)
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
