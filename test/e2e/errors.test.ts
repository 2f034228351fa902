import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { appDatabase } from "../setup/appDatabase.ts"
import { type AppOptions, endsWith, startApp, temporaryFolder } from "../setup/appProcess.ts"
import { standaloneMongo } from "../setup/standaloneMongo.ts"

/** Nobody listens on this port. */
const deadHost = "127.0.0.1:1"
const password = "pa55-w0rd-nobody-may-see"
const apiToken = "t0ken-nobody-may-see"

/** The last line that the app prints, after it has ended by itself with exit code 1. */
const lastLine = (options: AppOptions) =>
  Effect.gen(function* () {
    const app = yield* startApp(options)
    yield* endsWith(app, 1)
    // One sentence, and no trace of where in the program it came from.
    expect(app.output).not.toMatch(/^\s+at /m)
    return app.output.trim().split("\n").at(-1) ?? ""
  })

describe("a start that cannot succeed says why in one sentence", () => {
  it.scopedLive("an unknown role", () =>
    Effect.gen(function* () {
      expect(yield* lastLine({ env: {}, args: ["--roles", "generator,painter"] })).toBe(
        "--roles: there is no role 'painter': the roles are generator, ingest, sync, relay, consumer, api"
      )
    })
  )

  it.scopedLive("bad settings, each by its name", () =>
    Effect.gen(function* () {
      expect(yield* lastLine({ env: { FAKER_BATCH_MAX: "ten", LOG_FORMAT: "xml" } })).toBe(
        'reference-app: the setting LOG_FORMAT must be one of auto, plain, json, and is "xml"; ' +
          'the setting FAKER_BATCH_MAX must be a whole number from 1 to 10000, and is "ten"'
      )
    })
  )

  it.scopedLive("a port that is taken, and a host that is another machine's", () =>
    Effect.gen(function* () {
      const { env } = yield* appDatabase
      const http = { args: ["--roles", "api"] }
      const app = yield* startApp({ env, ...http })
      const [, port = ""] = yield* Effect.promise(() => app.waitFor(/HTTP: http:\/\/127\.0\.0\.1:(\d+) has/))
      expect(yield* lastLine({ env: { ...env, PORT: port }, ...http })).toBe(
        `reference-app: Port ${port} of 127.0.0.1 is taken: end the program that listens there, or choose another port with PORT (0 takes a free one).`
      )
      // An address that documentation only uses: https://www.rfc-editor.org/rfc/rfc5737
      const tokens = JSON.stringify({ [apiToken]: { user: "ann", permissions: [] } })
      expect(yield* lastLine({ env: { ...env, HOST: "192.0.2.1", API_TOKENS: tokens }, ...http })).toMatch(
        /^reference-app: HOST 192\.0\.2\.1 is no address of this machine/
      )
      app.signal("SIGTERM")
      yield* endsWith(app, 0)
    })
  )

  it.scopedLive("a MongoDB without a replica set, and one that refuses the credentials", () =>
    Effect.gen(function* () {
      const host = yield* standaloneMongo
      const { env } = yield* appDatabase
      const generator = { args: ["--roles", "generator"] }
      expect(yield* lastLine({ env: { ...env, MONGODB_URI: `mongodb://${host}/` }, ...generator })).toMatch(
        /is not a replica set, which transactions need: start it with "mongod --replSet rs0"/
      )
      const uri = `mongodb://ann:${password}@${host}/?authSource=admin`
      const line = yield* lastLine({ env: { ...env, MONGODB_URI: uri }, ...generator })
      expect(line).toContain(`The MongoDB at ${host} refuses the credentials of MONGODB_URI`)
      expect(line).not.toContain(password)
    })
  )

  it.scopedLive("a stop while it still waits for a server is an orderly end", () =>
    Effect.gen(function* () {
      const { env } = yield* appDatabase
      const app = yield* startApp({ env: { ...env, MONGODB_URI: `mongodb://${deadHost}/` } })
      yield* Effect.promise(() => app.waitFor(/waiting for MongoDB/))
      app.signal("SIGINT")
      const [took] = yield* Effect.timed(endsWith(app, 0))
      expect(Duration.toMillis(took)).toBeLessThan(5_000)
    })
  )
})

// Some of them wait for seconds, and all have databases of their own.
describe.concurrent("a start that cannot succeed takes its time where it has to, and says why", () => {
  it.scopedLive(
    "an API without tokens that others could reach, and tokens that are none, which are not repeated",
    () =>
      Effect.gen(function* () {
        const { env } = yield* appDatabase
        expect(yield* lastLine({ env: { ...env, HOST: "0.0.0.0" }, args: ["--roles", "api"] })).toBe(
          "reference-app: HOST is 0.0.0.0 and there is no API_TOKENS: an API without tokens is served at 127.0.0.1, ::1 or localhost only."
        )
        const app = yield* startApp({ env: { ...env, API_TOKENS: `{"${apiToken}": {}}` } })
        yield* endsWith(app, 1)
        expect(app.output).toMatch(/^reference-app: the setting API_TOKENS must be JSON such as/)
        expect(app.output).not.toContain(apiToken)
      })
  )

  it.scopedLive("a secret that is missing, too short, or another one than the database knows", () =>
    Effect.gen(function* () {
      const { env } = yield* appDatabase
      const { ANONYMIZE_SECRET, ...withoutSecret } = env
      const generator = { args: ["--roles", "generator"] }
      expect(yield* lastLine({ env: withoutSecret, ...generator })).toBe(
        "reference-app: ANONYMIZE_SECRET: there is no anonymization secret: make one with `openssl rand -hex 32` and keep it"
      )
      const short = "abcd1234abcd1234"
      expect(yield* lastLine({ env: { ...env, ANONYMIZE_SECRET: short }, ...generator })).toMatch(
        /ANONYMIZE_SECRET: the anonymization secret is shorter than 128 bits/
      )
      const app = yield* startApp({ env, ...generator })
      yield* Effect.promise(() => app.waitFor(/running/))
      app.signal("SIGTERM")
      yield* endsWith(app, 0)
      const other = ANONYMIZE_SECRET.split("").toReversed().join("")
      const line = yield* lastLine({ env: { ...env, ANONYMIZE_SECRET: other }, ...generator })
      expect(line).toMatch(/ANONYMIZE_SECRET is not the secret that this database knows as key version 1/)
      expect(line).not.toContain(other)
    })
  )

  it.scopedLive("servers that do not answer, after waiting for them with a message", () =>
    Effect.gen(function* () {
      const { env } = yield* appDatabase
      const [mongo, redis] = yield* Effect.all(
        [
          startApp({ env: { ...env, MONGODB_URI: `mongodb://ann:${password}@${deadHost}/` } }),
          startApp({ env: { ...env, REDIS_URL: `redis://:${password}@${deadHost}` } })
        ],
        { concurrency: 2 }
      )
      for (const [app, name, setting] of [
        [mongo, "MongoDB", "MONGODB_URI"],
        [redis, "Redis", "REDIS_URL"]
      ] as const) {
        yield* endsWith(app, 1)
        expect(app.output).toContain(`waiting for ${name} at ${deadHost}`)
        expect(app.output).toMatch(
          new RegExp(`reference-app: No ${name} answers at ${deadHost}: start it, correct ${setting}`)
        )
        expect(app.output).not.toContain(password)
      }
    })
  )
})

describe("without a Redis on the machine", () => {
  /** No program on the PATH, an empty cache, and no pip to fill it. */
  const withoutRedis = Effect.gen(function* () {
    const { env } = yield* appDatabase
    const folder = yield* temporaryFolder
    const { REDIS_URL, ...rest } = env
    return { ...rest, PATH: folder, TWINBOX_CACHE: join(folder, "cache"), FAKER_FILLING_DELAY_MS: "20" }
  })

  it.scopedLive("the app says so and runs what does not need it", () =>
    Effect.gen(function* () {
      const app = yield* startApp({ env: yield* withoutRedis })
      yield* Effect.promise(() => app.waitFor(/status: customers [1-9]/))
      expect(app.output).toMatch(/running without relay: There is no redis-server on this machine/)
      app.signal("SIGINT")
      yield* endsWith(app, 0)
      expect(app.output).toContain("originals = twins")
    })
  )

  it.scopedLive("a role that needs it does not start", () =>
    Effect.gen(function* () {
      expect(yield* lastLine({ env: yield* withoutRedis, args: ["--roles", "relay"] })).toMatch(
        /There is no redis-server on this machine/
      )
    })
  )
})
