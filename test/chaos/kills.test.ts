import { expect, it } from "@effect/vitest"
import { Config, Duration, Effect, Random } from "effect"
import { testSecret } from "../setup/appDatabase.ts"
import { type AppProcess, endsWith, startApp, temporaryFolder } from "../setup/appProcess.ts"
import { allArrived, inspectCustomers } from "../setup/mirroredCustomers.ts"
import { mongoWithShortLivedLocks } from "../setup/shortLivedLocks.ts"
import { testRedis } from "../setup/testServers.ts"

/** How often the process is killed. */
const kills = Config.withDefault(Config.integer("CHAOS_KILLS"), 20)

/** Makes a run repeatable, as far as clocks allow. */
const seed = Config.withDefault(
  Config.integer("CHAOS_SEED"),
  Effect.runSync(Random.nextIntBetween(0, 1_000_000))
)

/** The latest moment of a kill, counted from when the roles run. */
const latestMillis = 1_500

/** One kill in five comes while the process still starts. */
const earlyShare = 0.2
const earlyMillis = 1_200

const load = {
  FAKER_FILLING_DELAY_MS: "0",
  FAKER_BATCH_MIN: "10",
  FAKER_BATCH_MAX: "40",
  FAKER_UPDATE_SHARE: "0.4",
  FAKER_DELETE_SHARE: "0.1"
}

const runUntilKilled = (app: AppProcess) =>
  Effect.gen(function* () {
    const isEarly = (yield* Random.next) < earlyShare
    if (!isEarly) yield* Effect.promise(() => app.waitFor(/running: generator, ingest, sync, relay/))
    const moment = yield* Random.nextIntBetween(0, isEarly ? earlyMillis : latestMillis)
    yield* Effect.sleep(Duration.millis(moment))
    app.signal("SIGKILL")
    const exit = yield* Effect.promise(() => app.exit)
    // It must have lived until now.
    expect(exit).toEqual({ code: null, signal: "SIGKILL" })
    return `${moment}${isEarly ? "*" : ""}`
  })

it.scopedLive(
  "killed at random moments under load: every original has its twin, every twin its mirror, and nothing is left over",
  () =>
    Effect.gen(function* () {
      const chosenSeed = yield* seed
      const count = yield* kills
      const mongo = yield* mongoWithShortLivedLocks
      const redis = yield* testRedis
      const env = {
        ...load,
        MONGODB_URI: mongo.uri,
        REDIS_URL: redis.url,
        ANONYMIZE_SECRET: testSecret
      }
      const folder = yield* temporaryFolder
      const moments = yield* Effect.replicateEffect(
        Effect.scoped(Effect.flatMap(startApp({ env: env, folder }), runUntilKilled)),
        count
      ).pipe(Effect.withRandom(Random.make(chosenSeed)))
      yield* Effect.log(`CHAOS_SEED=${chosenSeed}: killed after ${moments.join(", ")} ms (*: of the start)`)

      // The slots belong to killed relays until those have been silent for a lease; a backlog waits behind that.
      const last = yield* startApp({ env: { ...env, FAKER_FILLING_DELAY_MS: "1000" }, folder })
      yield* Effect.promise(() => last.waitFor(/owns 256 slots[^]*outbox [0-9],/))
      last.signal("SIGINT")
      yield* endsWith(last, 0)

      const found = yield* inspectCustomers({ mongoUri: mongo.uri, redisUrl: redis.url, secret: testSecret })
      yield* Effect.log(`${found.originals} customers stand`)
      expect(found).toEqual(allArrived(found))
      // Else the kills came while nothing went on.
      expect(found.originals).toBeGreaterThan(count * 5)
    }),
  180_000
)
