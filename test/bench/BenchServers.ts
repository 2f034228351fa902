import { MongoServer, RedisServer } from "@twinbox/services"
import { MongoDatabase, MongoOutboxStore } from "@twinbox/mongodb"
import { Outbox } from "@twinbox/outbox"
import { RedisConnection } from "@twinbox/redis"
import { Effect, Layer, Option, Redacted } from "effect"

/**
 * Servers of the bench's own, set up as users have them: old versions of documents are kept for the
 * server's default of 300 seconds, so that deleted index entries cost what they cost in production.
 */
export const startServers = Effect.gen(function* () {
  const mongo = yield* MongoServer.config({ snapshotHistorySeconds: 300, cacheGigabytes: 2 })
  const redis = yield* RedisServer.config({})
  return yield* Effect.all({
    mongo: MongoServer.start({ ...mongo, uri: Option.none() }),
    redis: RedisServer.start({ ...redis, uri: Option.none() })
  })
})

/** A fresh database with the outbox in it, and a Redis connection. */
export const layerOf = (mongoUri: string, database: string, redisUrl: string) =>
  Outbox.layer().pipe(
    Layer.provideMerge(MongoOutboxStore.layer()),
    Layer.provideMerge(MongoDatabase.layer({ uri: Redacted.make(mongoUri), database })),
    Layer.provideMerge(RedisConnection.layer({ url: Redacted.make(redisUrl) }))
  )
