import { expect, it } from "@effect/vitest"
import { redisCommands, type Report, RedisServer } from "@twinbox/services"
import { Clock, Config, Duration, Effect, Fiber, Option, Schedule } from "effect"
import { type Db, MongoClient } from "mongodb"
import { appDatabase } from "../setup/appDatabase.ts"
import { endsWith, startApp } from "../setup/appProcess.ts"
import { allArrived, inspectCustomers } from "../setup/mirroredCustomers.ts"

/** How long Redis is away; 6 at least, since its absence shows in a line that comes every 5 seconds. */
const awaySeconds = Config.withDefault(Config.integer("REDIS_DOWN_SECONDS"), 10)

const silent: Report = () => Effect.void

/** Few customers and many updates: what is out of order would show. */
const load = {
  FAKER_FILLING_DELAY_MS: "10",
  FAKER_UPDATE_SHARE: "0.7",
  FAKER_DELETE_SHARE: "0.05",
  LOG_LEVEL: "trace"
}

const ownRedis = Effect.flatMap(RedisServer.config({ report: silent }), (config) =>
  RedisServer.start({ ...config, uri: Option.none() })
)

/** What is on its way at any moment under this load. */
const fewMessages = 100

interface Place {
  readonly mongoUri: string
  readonly database: string
  readonly secret: string
}

const withDatabase = <A>({ database, mongoUri }: Place, use: (db: Db) => Promise<A>) =>
  Effect.promise(async () => {
    const client = new MongoClient(mongoUri)
    try {
      return await use(client.db(database))
    } finally {
      await client.close()
    }
  })

/** How many documents a collection has; the outbox's own sentinels, which have no key, are left out. */
const countOf = (place: Place, collection: string) =>
  withDatabase(place, (db) => db.collection(collection).countDocuments({ key: { $ne: "" } }))

/** Versions that went backwards in one customer's mirror, as seen by reading all mirrors over and over. */
const watchVersions = (url: string) =>
  Effect.gen(function* () {
    const seen = new Map<string, number>()
    const steps: Array<string> = []
    let readings = 0
    const look = Effect.gen(function* () {
      const [keys] = yield* redisCommands(url, [["KEYS", "customer:*"]])
      const names = Array.isArray(keys) ? keys.map(String) : []
      if (names.length === 0) return
      const versions = yield* redisCommands(
        url,
        names.map((name) => ["HGET", name, "version"])
      )
      readings += 1
      for (const [at, name] of names.entries()) {
        const version = Number(versions[at] ?? 0)
        const before = seen.get(name) ?? 0
        if (version > 0 && version < before) steps.push(`${name}: ${before} -> ${version}`)
        if (version > before) seen.set(name, version)
      }
    })
    const fiber = yield* look.pipe(
      // Redis is away for a while: then there is nothing to see.
      Effect.ignore,
      Effect.repeat(Schedule.spaced("50 millis")),
      Effect.forkScoped
    )
    return Effect.map(Fiber.interrupt(fiber), () => ({ steps, readings, customers: seen.size }))
  })

/** Even the most talkative log, of a run with trouble in it, names nobody. */
const expectNoPersonalData = (output: string, place: Place) =>
  Effect.map(
    withDatabase(place, (db) => db.collection("customers").find().toArray()),
    (originals) => {
      for (const { address, email } of originals) {
        expect(output).not.toContain(String(email))
        expect(output).not.toContain(String(address.line1))
      }
      expect(output).not.toContain(place.secret)
    }
  )

it.scopedLive(
  "Redis stopped under load: saves go on, nothing is lost, the backlog drains, and no mirror goes backwards",
  () =>
    Effect.gen(function* () {
      const away = yield* awaySeconds
      const redis = yield* ownRedis
      const { env, place } = yield* appDatabase
      const app = yield* startApp({ env: { ...env, ...load, REDIS_URL: redis.uri } })
      yield* Effect.promise(() => app.waitFor(/[1-9]\d*\/s delivered/))
      const watched = yield* watchVersions(redis.uri)

      const before = yield* countOf(place, "customers")
      yield* redis.stop
      yield* Effect.sleep(Duration.seconds(away))
      const during = yield* countOf(place, "customers")
      expect(during - before).toBeGreaterThan(away * 10)
      expect(app.output).toMatch(/mirror away/)

      const startedAt = yield* Clock.currentTimeMillis
      yield* redis.start
      // The backlog drains while new saves come in.
      yield* countOf(place, "outbox").pipe(
        Effect.repeat({ until: (depth) => depth < fewMessages, schedule: Schedule.spaced("100 millis") }),
        Effect.timeout("30 seconds")
      )
      yield* Effect.log(`drained within ${(yield* Clock.currentTimeMillis) - startedAt} ms after ${away} s`)

      app.signal("SIGINT")
      yield* endsWith(app, 0)
      const { customers, readings, steps } = yield* watched
      expect(steps).toEqual([])
      expect(customers).toBeGreaterThan(50)
      expect(readings).toBeGreaterThan(20)
      const found = yield* inspectCustomers({ ...place, redisUrl: redis.uri })
      expect(found).toEqual(allArrived(found))
      yield* expectNoPersonalData(app.output, place)
    }),
  120_000
)
