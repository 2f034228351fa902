import { Effect } from "effect"
import { MongoClient } from "mongodb"
import { testMongo, testRedis } from "./testServers.ts"

/** The secret of the apps under test. */
export const testSecret = "2f9c4be07d1356a8e4c09b72fd5518c3a6e01d947b3f8c2e"

/** A database and a Redis of one test's own, as settings of the app and as a place to look at. */
export const appDatabase = Effect.gen(function* () {
  const mongo = yield* testMongo
  const redis = yield* testRedis
  const uri = new URL(mongo.uri)
  uri.pathname = `/${mongo.database}`
  return {
    env: { MONGODB_URI: uri.href, REDIS_URL: redis.url, ANONYMIZE_SECRET: testSecret },
    place: { mongoUri: mongo.uri, database: mongo.database, redisUrl: redis.url, secret: testSecret }
  }
})

/** The database of a place, for a program that uses the driver alone. */
export const plainDatabase = ({
  database,
  mongoUri
}: {
  readonly database: string
  readonly mongoUri: string
}) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => MongoClient.connect(mongoUri)),
      (open) => Effect.promise(() => open.close())
    ),
    (client) => client.db(database)
  )
