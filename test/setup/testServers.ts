import { randomUUID } from "node:crypto"
import { redisCommands } from "@twinbox/services"
import { Effect, type Scope } from "effect"
import { MongoClient } from "mongodb"
import { inject } from "vitest"

/** A database of one test on the MongoDB of the run. */
export interface TestMongo {
  /** Connection string of the replica set, without a database. */
  readonly uri: string
  /** Name of a database that nobody else uses. */
  readonly database: string
}

/** A database of one test on the Redis of the run. */
export interface TestRedis {
  /** URL with the number of an empty database that nobody else uses. */
  readonly url: string
  readonly database: number
}

const dropDatabase = async (uri: string, database: string): Promise<void> => {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 5000 })
  try {
    await client.db(database).dropDatabase()
  } finally {
    await client.close()
  }
}

/** A database with a fresh name, dropped at the end of the scope. */
export const testMongo: Effect.Effect<TestMongo, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => ({ uri: inject("mongoUri"), database: `test_${randomUUID().replaceAll("-", "")}` })),
  // A test that broke the server has failed already: tidying up must not hide how.
  ({ uri, database }) => Effect.ignoreLogged(Effect.tryPromise(() => dropDatabase(uri, database)))
)

/** Counts the databases handed out in this run, in database 0, which no test gets. */
const counterKey = "twinbox:test-databases"

/** Test files run in several processes, so Redis itself hands out the numbers. */
const nextRedisDatabase = (url: string): Effect.Effect<number> =>
  redisCommands(url, [
    ["INCR", counterKey],
    ["CONFIG", "GET", "databases"]
  ]).pipe(
    Effect.map(([count, setting]) => {
      const databases = Number(Array.isArray(setting) ? setting[1] : 16)
      return 1 + ((Number(count) - 1) % (databases - 1))
    }),
    Effect.orDie
  )

const flush = (url: string) => redisCommands(url, [["FLUSHDB"]])

/** An empty Redis database of this test's own, flushed at the end of the scope. */
export const testRedis: Effect.Effect<TestRedis, never, Scope.Scope> = Effect.acquireRelease(
  Effect.gen(function* () {
    const server = inject("redisUrl")
    const database = yield* nextRedisDatabase(server)
    const url = `${server}/${database}`
    yield* Effect.orDie(flush(url))
    return { url, database }
  }),
  ({ url }) => Effect.ignoreLogged(flush(url))
)
