import { expect, it } from "@effect/vitest"
import { Duration, Effect, Schedule } from "effect"
import { testSecret } from "../setup/appDatabase.ts"
import { endsWith, startApp } from "../setup/appProcess.ts"
import { allArrived, inspectCustomers } from "../setup/mirroredCustomers.ts"
import { ownMongo } from "../setup/ownMongo.ts"
import { testRedis } from "../setup/testServers.ts"

/** Seconds that MongoDB is away. */
const awaySeconds = 2

/** A person who is not content with the first Ctrl-C. */
const secondPressMillis = 600

/** An app on this MongoDB, with a Redis of its own, under load. */
const startLoadedApp = (mongoUri: string) =>
  Effect.gen(function* () {
    const redis = yield* testRedis
    const env = { MONGODB_URI: mongoUri, REDIS_URL: redis.url, ANONYMIZE_SECRET: testSecret }
    const app = yield* startApp({ env: { ...env, FAKER_FILLING_DELAY_MS: "10" } })
    yield* Effect.promise(() => app.waitFor(/[1-9]\d*\/s delivered/))
    return { app, place: { mongoUri, redisUrl: redis.url, secret: testSecret } }
  })

it.scopedLive(
  "MongoDB killed under load: the app lives on, saves again when it is back, and everything arrives",
  () =>
    Effect.gen(function* () {
      const mongo = yield* ownMongo()
      const { app, place } = yield* startLoadedApp(mongo.uri)
      yield* mongo.kill("SIGKILL")
      yield* Effect.sleep(Duration.seconds(awaySeconds))
      yield* mongo.start
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

it.scopedLive(
  "MongoDB hangs: Ctrl-C still ends the app within 5 seconds, and a second one at once",
  () =>
    Effect.gen(function* () {
      const mongo = yield* ownMongo()
      const { app: patient } = yield* startLoadedApp(mongo.uri)
      const { app: hasty } = yield* startLoadedApp(`${mongo.uri.replace("/?", "/other?")}`)
      yield* mongo.kill("SIGSTOP")
      patient.signal("SIGINT")
      hasty.signal("SIGINT")
      yield* Effect.sleep(Duration.millis(secondPressMillis))
      hasty.signal("SIGINT")
      const [tookHasty] = yield* Effect.timed(endsWith(hasty, 130))
      const [tookPatient] = yield* Effect.timed(endsWith(patient, 1))
      yield* mongo.kill("SIGCONT")
      expect(Duration.toMillis(tookHasty)).toBeLessThan(1_000)
      expect(Duration.toMillis(tookPatient)).toBeLessThan(5_000)
      expect(patient.output).toContain("nothing is lost, the next run goes on from here")
    }),
  60_000
)
