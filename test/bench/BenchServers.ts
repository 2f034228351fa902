import { MongoServer, RedisServer } from "@twinbox/services"
import { MongoDatabase, MongoOutboxStore } from "@twinbox/mongodb"
import { Outbox } from "@twinbox/outbox"
import { RedisConnection } from "@twinbox/redis"
import { Effect, Layer, Option, Redacted } from "effect"

/** A Redis of the bench's own. */
export const startRedis = Effect.flatMap(RedisServer.config({}), (options) =>
  RedisServer.start({ ...options, uri: Option.none() })
)

/**
 * Servers of the bench's own, set up as users have them: old versions of documents are kept for the
 * server's default of 300 seconds, so that deleted index entries cost what they cost in production.
 */
export const startServers = Effect.gen(function* () {
  const mongo = yield* MongoServer.config({ snapshotHistorySeconds: 300, cacheGigabytes: 2 })
  return yield* Effect.all({
    mongo: MongoServer.start({ ...mongo, uri: Option.none() }),
    redis: startRedis
  })
})

/** A fresh database with the outbox in it, and a Redis connection. */
export const layerOf = (mongoUri: string, database: string, redisUrl: string) =>
  Outbox.layer().pipe(
    Layer.provideMerge(MongoOutboxStore.layer()),
    Layer.provideMerge(MongoDatabase.layer({ uri: Redacted.make(mongoUri), database })),
    Layer.provideMerge(RedisConnection.layer({ url: Redacted.make(redisUrl) }))
  )

export interface Servers {
  readonly mongoUri: string
  readonly redisUrl: string
}

/** Leaves nothing behind that the next measurement would have to share memory with. */
const clear = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  const redis = yield* RedisConnection.RedisConnection
  yield* Effect.promise(() => db.dropDatabase())
  yield* redis.command(["FLUSHALL"])
}).pipe(Effect.orDie)

/** Work on a database of its own, and on Redis, both of which are empty again afterwards. */
export const inDatabase = <A, E, R>(servers: Servers, database: string, work: Effect.Effect<A, E, R>) =>
  Effect.provide(
    Effect.zipLeft(Effect.scoped(work), clear),
    layerOf(servers.mongoUri, database, servers.redisUrl)
  )
