import { expect, it } from "@effect/vitest"
import { MongoInbox, MongoOutbox } from "@twinbox/mongodb"
import { Key } from "@twinbox/outbox"
import { RedisConnection, RedisOutbox } from "@twinbox/redis"
import { RemoteWrites } from "@twinbox/repository"
import { Config, Effect, Fiber, Layer, Logger, LogLevel, Random, Redacted } from "effect"
import { testMongo, testRedis } from "../setup/testServers.ts"
import { compareStores } from "../setup/twoWayStores.ts"
import {
  crashing,
  Customer,
  drained,
  makeRepository,
  outboxOptions,
  runReader,
  runRelay,
  upTo
} from "../setup/twoWayWorld.ts"
import { ids, Tally, writeV1, writeV2 } from "../setup/twoWayWriters.ts"

const rounds = Config.withDefault(Config.integer("TWOWAY_ROUNDS"), 1)

/** Makes a round repeatable, as far as clocks allow. */
const seed = Config.withDefault(
  Config.integer("TWOWAY_SEED"),
  Effect.runSync(Random.nextIntBetween(0, 1_000_000))
)

/** Bursts of a round. After each the stores have to be equal: later writes would hide what was lost. */
const bursts = 6
const writersEach = 3
const writesEach = 8
const pauseMillis = 40

/** The longest that a relay or a reader lives. */
const lifeMillis = { relay: 1_500, reader: 500 }

/** Writes one after the other, until so many have been tried. */
const writing = (one: Effect.Effect<void, unknown>, name: string) =>
  Effect.repeatN(Effect.zipRight(upTo(pauseMillis), one), writesEach - 1).pipe(
    Effect.withRandom(Random.make(name))
  )

const live = <E, R>(run: Effect.Effect<never, E, R>, longestLifeMillis: number, name: string) =>
  Effect.forkScoped(Effect.withRandom(crashing(run, longestLifeMillis), Random.make(name)))

/** Two relays and two readers that never live long. */
const startLives = (seedOfRound: number) =>
  Effect.all([
    live(runRelay, lifeMillis.relay, `${seedOfRound} relay 1`),
    live(runRelay, lifeMillis.relay, `${seedOfRound} relay 2`),
    live(runReader, lifeMillis.reader, `${seedOfRound} reader 1`),
    live(runReader, lifeMillis.reader, `${seedOfRound} reader 2`)
  ])

const round = (seedOfRound: number) =>
  Effect.gen(function* () {
    const mongo = yield* testMongo
    const redis = yield* testRedis
    const stores = { mongoUri: mongo.uri, database: mongo.database, redisUrl: redis.url }
    const services = Layer.mergeAll(
      MongoOutbox.layer({ uri: Redacted.make(mongo.uri), database: mongo.database }),
      RedisConnection.layer({ url: Redacted.make(redis.url) })
    )
    return yield* Effect.gen(function* () {
      const customers = yield* makeRepository
      const outbox = yield* RedisOutbox.make(outboxOptions)
      const tally = new Tally()
      const remote = RemoteWrites.layer({ repository: customers, schema: Customer, consumer: "customers-v2" })

      const burst = (at: number) =>
        Effect.gen(function* () {
          const writers = Array.from({ length: writersEach }, (_, writer) => {
            const name = `${seedOfRound} ${at} ${writer}`
            return [
              writing(writeV1(customers, tally), `${name} v1`),
              writing(writeV2(outbox, tally), `${name} v2`)
            ]
          })
          yield* Effect.all(writers.flat(), { concurrency: "unbounded" })
          yield* drained(outbox)
          const { differences } = yield* compareStores(stores)
          expect({ seedOfRound, burst: at, differences }).toEqual({ seedOfRound, burst: at, differences: [] })
        })
      yield* Effect.gen(function* () {
        const lives = yield* startLives(seedOfRound)
        for (let at = 0; at < bursts; at++) yield* burst(at)
        yield* Fiber.interruptAll(lives)
      }).pipe(Effect.provide(Layer.provide(remote, MongoInbox.layer())))

      // Each write that was taken and not refused has made a version, and only one.
      const refused = yield* outbox.refused.list({ limit: 500 })
      expect(refused.filter(({ reason }) => reason === "Failed" || reason === "Invalid")).toEqual([])
      for (const { key } of refused) tally.add(Key.idOf(key ?? ""), -1)
      const versions = yield* Effect.forEach(ids, (id) =>
        Effect.map(customers.version(id), (version) => [id, version] as const)
      )
      expect(versions.filter(([, version]) => version > 0)).toEqual(tally.versions)
      expect(tally.total).toBeGreaterThan(bursts * writersEach * writesEach)
      return `round ${seedOfRound}: ${tally.total} versions, ${refused.length} writes refused`
    }).pipe(Effect.provide(services), Logger.withMinimumLogLevel(LogLevel.Error))
  }).pipe(Effect.scoped)

it.live(
  "Writes on both sides, with crashes and delays: both stores end equal, and each write has taken hold once or was refused",
  () =>
    Effect.gen(function* () {
      const first = yield* seed
      const count = yield* rounds
      yield* Effect.log(`TWOWAY_SEED=${first}`)
      for (let at = 0; at < count; at++) yield* Effect.log(yield* round(first + at))
    }),
  300_000
)
