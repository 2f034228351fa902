import { MongoOutbox } from "@twinbox/mongodb"
import { RedisConnection } from "@twinbox/redis"
import { Effect, Layer, Redacted } from "effect"
import { testMongo, testRedis } from "./testServers.ts"

/** An outbox and a Redis of one test's own. */
export const mongoAndRedis = Layer.unwrapScoped(
  Effect.gen(function* () {
    const { database, uri } = yield* testMongo
    const { url } = yield* testRedis
    return Layer.merge(
      MongoOutbox.layer({ uri: Redacted.make(uri), database }),
      RedisConnection.layer({ url: Redacted.make(url) })
    )
  })
)
