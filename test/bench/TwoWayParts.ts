import { MongoDatabase, MongoInbox } from "@twinbox/mongodb"
import { Relay } from "@twinbox/outbox"
import { RedisConnection, RedisMirror, RedisOutboxReader } from "@twinbox/redis"
import { RemoteWrites, TwinRepository, TwinTopic } from "@twinbox/repository"
import { Effect, Layer, Redacted } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"
import type { Servers } from "./BenchServers.ts"

/** What a process of its own carries over, and how. */
export interface Carrier extends Servers {
  readonly kind: "twinbox" | "hand"
  readonly database: string
}

const originalTopic = TwinTopic.original("customer-original", BenchCustomer.BenchCustomer)

export const redisOptions = {
  stream: "customer",
  indexes: (document: unknown) => ({ email: (document as { readonly email?: string } | null)?.email })
}

export const makeRepository = TwinRepository.make({
  schema: BenchCustomer.BenchCustomer,
  collection: "customers",
  topic: BenchCustomer.topic,
  originalTopic,
  key: BenchCustomer.key,
  groupCommit: true
})

/** Twinbox: relay and reader, with what the reference app has them do. */
export const carryByTwinbox = Effect.gen(function* () {
  const twins = yield* RedisMirror.make({ topics: [BenchCustomer.topic], isNew: true })
  const originals = yield* RedisMirror.originals({
    topics: [originalTopic],
    isNew: true,
    indexes: redisOptions.indexes
  })
  const relay = yield* Relay.make({ sinks: [twins, originals] })
  yield* Effect.forkScoped(relay.run)
  const remote = yield* Layer.build(
    RemoteWrites.layer({
      repository: yield* makeRepository,
      schema: BenchCustomer.BenchCustomer,
      consumer: "bench"
    }).pipe(Layer.provide(MongoInbox.layer()))
  )
  const reader = yield* Effect.provide(RedisOutboxReader.make({ ...redisOptions, owner: "bench" }), remote)
  yield* Effect.forkScoped(reader.run)
  yield* Effect.repeat(Effect.delay(relay.status, "20 millis"), { until: ({ mode }) => mode === "live" })
  yield* Effect.repeat(Effect.delay(reader.status, "20 millis"), { until: ({ active }) => active })
})

export const handCollection = "hand_customers"
export const handLog = "hand:writes"

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
    const key = `hand:${String(fullDocument._id)}`
    yield* redis.command(["HSET", key, "version", "1", "json", JSON.stringify(fullDocument)])
  })
  // The first answer is empty, and says that the stream is open.
  yield* copyNext
  yield* Effect.forkScoped(Effect.forever(copyNext))
})

/** What XREAD replies; null when nothing came in time. */
type Reply = readonly [
  readonly [stream: string, ReadonlyArray<readonly [position: string, fields: ReadonlyArray<string>]>]
]

/** The other half: a loop over a stream, each entry of which is inserted into MongoDB. What fails is lost. */
const listenToRedis = (redisUrl: string) =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const waiting = yield* RedisConnection.make({ url: Redacted.make(redisUrl) })
    const customers = db.collection<{ _id: string }>(handCollection)
    let last = "0"
    const next = Effect.gen(function* () {
      const command = ["XREAD", "COUNT", "100", "BLOCK", "1000", "STREAMS", handLog, last]
      const reply = (yield* waiting.command(command)) as unknown as Reply | null
      const entries = reply?.[0][1] ?? []
      yield* Effect.forEach(
        entries,
        ([, [, _id = "", , json = ""]]) => {
          const document = { ...(JSON.parse(json) as object), _id }
          return Effect.promise(() => customers.insertOne(document, { writeConcern: { w: "majority" } }))
        },
        { concurrency: 16, discard: true }
      )
      last = entries.at(-1)?.[0] ?? last
    })
    yield* waiting.command(["DEL", handLog])
    yield* Effect.forkScoped(Effect.forever(next))
  })

export const carryByHand = (redisUrl: string) => Effect.zipRight(listenToMongo, listenToRedis(redisUrl))
