import { expect, it } from "@effect/vitest"
import { Config, Duration, Effect, Fiber, Random } from "effect"
import { testSecret } from "../setup/appDatabase.ts"
import { endsWith, startApp, temporaryFolder } from "../setup/appProcess.ts"
import * as CustomerTraffic from "../setup/customerTraffic.ts"
import { allArrived, inspectCustomers } from "../setup/mirroredCustomers.ts"
import { mongoWithShortLivedLocks } from "../setup/shortLivedLocks.ts"
import { testRedis } from "../setup/testServers.ts"
import { compareStores } from "../setup/twoWayStores.ts"

/*
 * The short form of a longer run: TWOWAY_KILLS=20 TWOWAY_WRITES=10000 npx vitest run test/chaos/twoWayKills.test.ts
 */

const kills = Config.withDefault(Config.integer("TWOWAY_KILLS"), 2)
const writes = Config.withDefault(Config.integer("TWOWAY_WRITES"), 600)
const seed = Config.withDefault(
  Config.integer("TWOWAY_SEED"),
  Effect.runSync(Random.nextIntBetween(0, 1_000_000))
)

const perSecond = 110

/** A relay takes its slots over after 6 seconds; how long the rest takes depends on the machine. */
const drainWithin = "5 minutes"

/** Answers after which it is open whether the write was made. */
const isOpen = (answer: string) => /outcome-unknown|timed-out|internal/.test(answer)

const untilSoMany = (traffic: CustomerTraffic.Traffic, count: number) =>
  Effect.repeat(
    Effect.delay(
      Effect.sync(() => traffic.succeeded()),
      "5 millis"
    ),
    { until: (succeeded) => succeeded >= count }
  )

it.scopedLive(
  "The relay role, killed at random moments of writes to both APIs: both stores end equal, each write has taken hold once or was refused, every original has its twin",
  () =>
    Effect.gen(function* () {
      const [chosenSeed, killCount, writeCount] = yield* Config.all([seed, kills, writes])
      const mongo = yield* mongoWithShortLivedLocks
      const redis = yield* testRedis
      const env = { MONGODB_URI: mongo.uri, REDIS_URL: redis.url, ANONYMIZE_SECRET: testSecret }
      const folder = yield* temporaryFolder
      const api = yield* startApp({ env: { ...env, LOG_LEVEL: "info" }, folder, args: ["--roles", "api"] })
      const [, base = ""] = yield* Effect.promise(() => api.waitFor(/HTTP: (http:\S+) has/))
      yield* Effect.promise(() => api.waitFor(/running: api/))
      const startRelay = startApp({ env, folder, args: ["--roles", "relay"] })

      const { running, traffic } = yield* CustomerTraffic.start({ base, count: writeCount, perSecond })
      yield* Effect.gen(function* () {
        const moments: Array<number> = []
        for (let at = 0; at < killCount; at++) {
          moments.push(yield* Random.nextIntBetween(0, Math.floor(writeCount * 0.9)))
        }
        for (const moment of moments.toSorted((a, b) => a - b)) {
          const relay = yield* startRelay
          yield* untilSoMany(traffic, moment)
          relay.signal("SIGKILL")
          // It must have lived until now.
          expect(yield* Effect.promise(() => relay.exit)).toEqual({ code: null, signal: "SIGKILL" })
        }
        yield* Effect.log(`TWOWAY_SEED=${chosenSeed}: killed after ${moments.join(", ")} writes`)
      }).pipe(Effect.withRandom(Random.make(chosenSeed)))
      yield* Fiber.join(running)
      expect([...traffic.others.keys()].filter(isOpen)).toEqual([])

      const last = yield* startRelay
      const compare = compareStores({ mongoUri: mongo.uri, redisUrl: redis.url })
      const [took] = yield* Effect.timed(
        Effect.repeat(Effect.delay(compare, "250 millis"), {
          until: ({ differences }) => differences.length === 0
        }).pipe(Effect.timeoutOption(drainWithin))
      )
      const { differences, refused, versions } = yield* compare
      expect(differences).toEqual([])
      expect(versions).toBe(traffic.succeeded() - refused)

      for (const app of [api, last]) {
        app.signal("SIGINT")
        yield* endsWith(app, 0)
      }
      const twins = yield* inspectCustomers({
        mongoUri: mongo.uri,
        redisUrl: redis.url,
        secret: testSecret
      })
      expect(twins).toEqual(allArrived(twins))
      yield* Effect.log(
        `${traffic.succeeded()} writes, ${refused} of them refused later, ${twins.originals} customers stand; equal ${Duration.format(took)} after the last relay was started; other answers: ${JSON.stringify(Object.fromEntries(traffic.others))}`
      )
    }),
  1_200_000
)
