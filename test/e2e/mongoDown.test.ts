import { expect, it } from "@effect/vitest"
import { MongoServer, type Report } from "@twinbox/services"
import { Duration, Effect, Option, Schedule } from "effect"
import { testSecret } from "../setup/appDatabase.ts"
import { endsWith, startApp } from "../setup/appProcess.ts"
import { allArrived, inspectCustomers } from "../setup/mirroredCustomers.ts"
import { testRedis } from "../setup/testServers.ts"

const silent: Report = () => Effect.void

/** Seconds that MongoDB is away. */
const awaySeconds = 2

const ownMongo = Effect.flatMap(MongoServer.config({ report: silent, cacheGigabytes: 0.25 }), (config) =>
  MongoServer.start({ ...config, uri: Option.none() })
)

it.scopedLive(
  "MongoDB killed under load: the app lives on, saves again when it is back, and everything arrives",
  () =>
    Effect.gen(function* () {
      const mongo = yield* ownMongo
      const redis = yield* testRedis
      const app = yield* startApp({
        env: {
          MONGODB_URI: mongo.uri,
          REDIS_URL: redis.url,
          ANONYMIZE_SECRET: testSecret,
          FAKER_FILLING_DELAY_MS: "10"
        }
      })
      yield* Effect.promise(() => app.waitFor(/[1-9]\d*\/s delivered/))
      yield* mongo.kill("SIGKILL")
      yield* Effect.sleep(Duration.seconds(awaySeconds))
      yield* mongo.start
      const place = { mongoUri: mongo.uri, redisUrl: redis.url, secret: testSecret }
      const before = (yield* inspectCustomers(place)).originals
      yield* Effect.map(inspectCustomers(place), ({ originals }) => originals).pipe(
        Effect.repeat({ until: (now) => now > before, schedule: Schedule.spaced("200 millis") }),
        Effect.timeout("20 seconds")
      )
      app.signal("SIGINT")
      yield* endsWith(app, 0)
      const found = yield* inspectCustomers(place)
      expect(found).toEqual(allArrived(found))
    }),
  90_000
)
