import { describe, expect, it } from "@effect/vitest"
import { redisCommands } from "@twinbox/services"
import { Effect, Fiber, Schedule } from "effect"
import { MongoClient } from "mongodb"
import { get } from "../../examples/reference-app/test/httpClient.ts"
import { parsePrometheus } from "../../packages/outbox/test/PrometheusParser.ts"
import { ownRedis } from "../../packages/redis/test/testParts.ts"
import { testSecret } from "../setup/appDatabase.ts"
import { endsWith, startApp } from "../setup/appProcess.ts"
import { ownMongo } from "../setup/ownMongo.ts"

/** Longer than any relay takes to notice, to join again and to deliver. */
const patience = "40 seconds"

interface Readiness {
  readonly status: "ready" | "not ready"
  readonly checks: Readonly<Record<string, { readonly status: "ok" | "failed"; readonly reason?: string }>>
}

/** An app with all roles, on servers of its own that can be taken away, and what it answers. */
const startWatchedApp = Effect.gen(function* () {
  const [mongo, redis] = yield* Effect.all([ownMongo(), ownRedis()])
  const servers = { MONGODB_URI: mongo.uri, REDIS_URL: redis.uri, ANONYMIZE_SECRET: testSecret }
  const app = yield* startApp({ env: { ...servers, FAKER_FILLING_DELAY_MS: "50" } })
  const [, base = ""] = yield* Effect.promise(() =>
    app.waitFor(/HTTP: (http:\S+) has .*\/metrics, \/healthz and \/readyz/)
  )
  const ready = Effect.map(get(`${base}/readyz`), ({ status, text }) => {
    const body = JSON.parse(text) as Readiness
    // What the two say must never differ.
    expect(status).toBe(body.status === "ready" ? 200 : 503)
    return body
  })
  /** Asks until it is so. */
  const untilReady = (isSo: (readiness: Readiness) => boolean) =>
    Effect.repeat(Effect.delay(ready, "100 millis"), { until: isSo }).pipe(
      Effect.timeout(patience),
      Effect.tapError(() => Effect.flatMap(ready, (last) => Effect.logError(JSON.stringify(last))))
    )
  return {
    app,
    mongo,
    redis,
    untilReady,
    healthStatus: Effect.map(get(`${base}/healthz`), ({ status }) => status),
    metrics: Effect.map(get(`${base}/metrics`), ({ status, text }) => {
      expect(status).toBe(200)
      return parsePrometheus(text)
    })
  }
})

/** Ends every membership, again and again. */
const expelAll = (mongoUri: string) =>
  Effect.acquireUseRelease(
    Effect.sync(() => new MongoClient(mongoUri)),
    (client) =>
      Effect.promise(() => client.db("twinbox").collection("outbox_relays").deleteMany({})).pipe(
        Effect.repeat(Schedule.spaced("50 millis"))
      ),
    (client) => Effect.promise(() => client.close())
  )

const isReady = ({ status }: Readiness) => status === "ready"

const hasFailed =
  (name: string, reason: RegExp) =>
  ({ checks }: Readiness) =>
    checks[name]?.status === "failed" && reason.test(checks[name].reason ?? "")

// Each has servers of its own, and mostly waits.
describe.concurrent("an app whose servers go away", () => {
  it.scopedLive(
    "/readyz tells of each server that is taken away, and when it is back; /healthz stays at 200",
    () =>
      Effect.gen(function* () {
        const { app, healthStatus, mongo, redis, untilReady } = yield* startWatchedApp
        const { checks } = yield* untilReady(isReady)
        const ok = { status: "ok" }
        expect(checks).toEqual({ roles: ok, mongodb: ok, redis: ok, relay: ok, sync: ok, writes: ok })

        yield* redis.stop
        const withoutRedis = yield* untilReady(
          hasFailed("redis", /^Redis at 127\.0\.0\.1:\d+ does not answer/)
        )
        expect(withoutRedis.checks).toMatchObject({ roles: ok, mongodb: ok })
        expect(yield* healthStatus).toBe(200)
        yield* redis.start
        yield* untilReady(isReady)

        yield* redis.kill("SIGSTOP")
        yield* untilReady(hasFailed("redis", /./))
        yield* redis.kill("SIGCONT")
        yield* untilReady(isReady)

        yield* mongo.kill("SIGKILL")
        const withoutMongo = yield* untilReady(
          hasFailed("mongodb", /^(no primary of MongoDB answers|there was no answer in time)$/)
        )
        expect(withoutMongo.checks).toMatchObject({ roles: ok, redis: ok })
        expect(yield* healthStatus).toBe(200)
        yield* mongo.start
        yield* untilReady(isReady)

        const expelling = yield* Effect.fork(expelAll(mongo.uri))
        const expelled = yield* untilReady(hasFailed("relay", /^the relay takes no part in the outbox$/))
        expect(expelled.checks).toMatchObject({ roles: ok, mongodb: ok, redis: ok })
        expect(yield* healthStatus).toBe(200)
        yield* Fiber.interrupt(expelling)
        yield* untilReady(isReady)

        yield* redisCommands(redis.uri, [["FLUSHALL"]])
        yield* untilReady(hasFailed("redis", /has lost the mirror's data/))
        expect(yield* healthStatus).toBe(200)

        // A relay that cannot empty the outbox takes its time to stop: long enough to be asked.
        yield* redis.kill("SIGSTOP")
        app.signal("SIGINT")
        yield* untilReady(hasFailed("roles", /^the app is stopping$/))
        expect(yield* healthStatus).toBe(200)
        yield* endsWith(app, 1)
        expect(app.output).not.toContain("left behind")
        yield* redis.kill("SIGCONT")
      }),
    180_000
  )

  it.scopedLive(
    "/metrics counts what is delivered, and is there without the outbox's counts while MongoDB is away",
    () =>
      Effect.gen(function* () {
        const { app, metrics, mongo, untilReady } = yield* startWatchedApp
        yield* untilReady(isReady)
        const valueOf = (name: string, sink?: string) =>
          Effect.map(metrics, (families) => {
            const samples = families.get(name)?.samples ?? []
            return samples.find(({ labels }) => sink === undefined || labels["sink"] === sink)?.value
          })
        const until = (name: string, isSo: (value: number | undefined) => boolean, sink?: string) =>
          Effect.repeat(Effect.delay(valueOf(name, sink), "200 millis"), { until: isSo }).pipe(
            Effect.timeout(patience)
          )
        yield* until("twinbox_relay_delivered_total", (count) => (count ?? 0) > 20, "redis-mirror")
        expect(yield* valueOf("twinbox_outbox_up")).toBe(1)
        expect(yield* valueOf("twinbox_outbox_depth")).toBeGreaterThanOrEqual(0)
        expect(yield* valueOf("twinbox_outbox_behind", "redis-mirror")).toBe(0)
        expect(yield* valueOf("twinbox_outbox_oldest_age_seconds", "*")).toBeGreaterThanOrEqual(0)

        yield* mongo.kill("SIGKILL")
        yield* until("twinbox_outbox_up", (isUp) => isUp === 0)
        const names = [...(yield* metrics).keys()].filter((name) => name.startsWith("twinbox_"))
        expect(names.filter((name) => name.startsWith("twinbox_outbox_"))).toEqual(["twinbox_outbox_up"])
        expect(names).toContain("twinbox_relay_delivered_total")

        yield* mongo.start
        yield* until("twinbox_outbox_up", (isUp) => isUp === 1)
        expect(yield* valueOf("twinbox_outbox_depth")).toBeGreaterThanOrEqual(0)
        app.signal("SIGINT")
        yield* endsWith(app, 0)
      }),
    120_000
  )
})
