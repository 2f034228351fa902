import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { MongoServer, type Report, RedisServer } from "@twinbox/services"
import { Config, Duration, Effect, Option } from "effect"
import { endsWith, startApp, summaryOf, temporaryFolder } from "../setup/appProcess.ts"
import { allArrived, inspectCustomers } from "../setup/mirroredCustomers.ts"

/** Seconds of load after the first hundred customers; 60 for a thorough run. */
const loadSeconds = Config.withDefault(Config.integer("E2E_LOAD_SECONDS"), 3)

const stopWithinMillis = 5_000

const silent: Report = () => Effect.void

/** The servers of a data folder, started by somebody else than the app. */
const serversOn = (data: string) =>
  Effect.gen(function* () {
    const none = { uri: Option.none(), report: silent }
    const mongo = yield* MongoServer.config({ dataFolder: join(data, "mongodb"), report: silent })
    const redis = yield* RedisServer.config({ dataFolder: join(data, "redis"), report: silent })
    return yield* Effect.all([
      MongoServer.start({ ...mongo, ...none }),
      RedisServer.start({ ...redis, ...none })
    ])
  })

const inspectFromOutside = (data: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const [mongo, redis] = yield* serversOn(data)
      return yield* inspectCustomers({ mongoUri: mongo.uri, redisUrl: redis.uri })
    })
  )

describe("npm start", () => {
  it.scopedLive(
    "starts servers, saves and mirrors; after Ctrl-C originals = twins = mirrored, and the outbox is empty",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const data = join(folder, ".data")
        const env = { TWINBOX_DATA: data, FAKER_FILLING_DELAY_MS: "20", LOG_FORMAT: "plain" }
        const app = yield* startApp({ env, folder, throughNpm: true })
        yield* Effect.promise(() => app.waitFor(/status: customers [1-9][\d,]{2}/))
        yield* Effect.sleep(Duration.seconds(yield* loadSeconds))

        app.signal("SIGINT")
        const [took] = yield* Effect.timed(
          // npm passes the signal on, so that one Ctrl-C may come twice.
          Effect.zipRight(
            Effect.delay(
              Effect.sync(() => app.signal("SIGINT")),
              "50 millis"
            ),
            endsWith(app, 0)
          )
        )
        expect(Duration.toMillis(took)).toBeLessThan(stopWithinMillis)
        const summary = summaryOf(app.output)
        expect(summary["originals"]).toBeGreaterThan(100)
        expect(app.output).toContain("originals = twins = mirrored, and the outbox is empty")

        const found = yield* inspectFromOutside(data)
        expect(found).toEqual(allArrived(found))
        expect(summary).toEqual({
          originals: found.originals,
          twins: found.twins,
          mirrored: found.mirrored,
          outbox: 0
        })

        const again = yield* startApp({ env, folder })
        const [, customers] = yield* Effect.promise(() => again.waitFor(/status: customers ([\d,]+)/))
        expect(Number(customers?.replaceAll(",", ""))).toBeGreaterThanOrEqual(found.originals)
        again.signal("SIGTERM")
        yield* endsWith(again, 0)
      }),
    120_000
  )

  it.scopedLive(
    "runs roles as processes of their own, which share the embedded servers",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const env = { TWINBOX_DATA: join(folder, ".data"), FAKER_FILLING_DELAY_MS: "20" }
        const generator = yield* startApp({ env, folder, args: ["--roles", "generator"] })
        const relay = yield* startApp({ env, folder, args: ["--roles", "relay"] })
        yield* Effect.promise(() => relay.waitFor(/[1-9]\d*\/s delivered/))

        generator.signal("SIGINT")
        yield* endsWith(generator, 0)
        expect(generator.output).toContain("originals = twins; the mirror is left to the role relay")
        relay.signal("SIGINT")
        yield* endsWith(relay, 0)
        expect(relay.output).toContain("originals = twins = mirrored, and the outbox is empty")
      }),
    60_000
  )
})
