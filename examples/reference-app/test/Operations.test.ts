import { HttpApi, HttpApiBuilder, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { OutboxError, OutboxMemory, OutboxStore } from "@twinbox/outbox"
import { type Context, Deferred, Effect, Layer } from "effect"
import { parsePrometheus } from "../../../packages/outbox/test/PrometheusParser.ts"
import * as HttpListener from "../src/HttpListener.ts"
import { OperationsApi } from "../src/OperationsApi.ts"
import * as OperationsHandlers from "../src/OperationsHandlers.ts"
import * as Readiness from "../src/Readiness.ts"
import * as RoleFailures from "../src/RoleFailures.ts"
import { Settings } from "../src/Settings.ts"
import { get } from "./httpClient.ts"

const settings = Layer.succeed(Settings, {
  http: { host: "127.0.0.1", port: 0 }
} as Context.Tag.Service<Settings>)

/** A store whose counts cannot be had. */
const storeAway = Layer.effect(
  OutboxStore.OutboxStore,
  Effect.map(OutboxStore.OutboxStore, (store) => ({
    ...store,
    stats: new OutboxError.OutboxError({ reason: "Unavailable", operation: "stats" })
  }))
).pipe(Layer.provide(OutboxMemory.layer))

const server = (store: Layer.Layer<OutboxStore.OutboxStore>) =>
  HttpApiBuilder.serve().pipe(
    Layer.provide(HttpApiBuilder.api(HttpApi.make("twinbox").add(OperationsApi))),
    Layer.provide(OperationsHandlers.layer),
    Layer.provide(NodeHttpServer.layerContext),
    Layer.provideMerge(HttpListener.layer),
    Layer.provideMerge(Layer.mergeAll(store, Readiness.layer, RoleFailures.layer)),
    Layer.provide(settings)
  )

const ask = (path: string) =>
  Effect.flatMap(HttpServer.HttpServer, ({ address }) => get(`${HttpServer.formatAddress(address)}${path}`))

const json = (path: string) =>
  Effect.map(ask(path), ({ status, text }) => ({ status, body: JSON.parse(text) as unknown }))

const untilNot200 = (path: string) =>
  Effect.repeat(Effect.delay(json(path), "20 millis"), { until: ({ status }) => status !== 200 })

describe("/healthz", () => {
  it.scopedLive("is 200 until a role has failed for good, and then says why without a secret", () =>
    Effect.gen(function* () {
      const failures = yield* RoleFailures.RoleFailures
      yield* failures.fork(Effect.never)
      expect(yield* json("/healthz")).toEqual({ status: 200, body: { status: "alive" } })
      yield* failures.fork(Effect.fail({ message: "Redis at host:1 refused the credentials" }))
      const failed = yield* untilNot200("/healthz")
      expect(failed).toEqual({
        status: 503,
        body: { status: "failed", reason: "Redis at host:1 refused the credentials" }
      })
    }).pipe(Effect.provide(server(OutboxMemory.layer)))
  )

  it.scopedLive("does not repeat what a defect says", () =>
    Effect.gen(function* () {
      const failures = yield* RoleFailures.RoleFailures
      yield* failures.fork(Effect.die(new TypeError("mongodb://user:password@host")))
      yield* Effect.exit(failures.first)
      const { body } = yield* json("/healthz")
      expect(body).toEqual({
        status: "failed",
        reason: "the program has a fault (TypeError); LOG_LEVEL=debug tells more"
      })
    }).pipe(Effect.provide(server(OutboxMemory.layer)))
  )

  it.scopedLive("is 200 while a role that was stopped has only been interrupted", () =>
    Effect.gen(function* () {
      const failures = yield* RoleFailures.RoleFailures
      const started = yield* Deferred.make<void>()
      const work = Effect.zipRight(Deferred.succeed(started, undefined), Effect.never)
      yield* Effect.scoped(Effect.zipRight(failures.fork(work), Deferred.await(started)))
      expect(yield* json("/healthz")).toMatchObject({ status: 200 })
    }).pipe(Effect.provide(server(OutboxMemory.layer)))
  )
})

describe("/readyz", () => {
  it.scopedLive("is 200 when every check passes, else 503, with each check and its reason", () =>
    Effect.gen(function* () {
      const readiness = yield* Readiness.Readiness
      yield* readiness.add("mongodb", Effect.void)
      expect(yield* json("/readyz")).toEqual({
        status: 200,
        body: { status: "ready", checks: { mongodb: { status: "ok" } } }
      })
      yield* readiness.add("redis", new Readiness.Unready({ reason: "it sleeps" }))
      const notReady = yield* untilNot200("/readyz")
      expect(notReady).toEqual({
        status: 503,
        body: {
          status: "not ready",
          checks: { mongodb: { status: "ok" }, redis: { status: "failed", reason: "it sleeps" } }
        }
      })
    }).pipe(Effect.provide(server(OutboxMemory.layer)))
  )
})

describe("/metrics", () => {
  it.scopedLive("is in the text format of Prometheus, with the counts of the outbox", () =>
    Effect.gen(function* () {
      const { contentType, status, text } = yield* ask("/metrics")
      expect([status, contentType]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"])
      const families = parsePrometheus(text)
      expect(families.get("twinbox_outbox_up")?.samples).toMatchObject([{ value: 1 }])
      expect(families.get("twinbox_outbox_depth")).toEqual({
        type: "gauge",
        help: "Messages that are ready",
        samples: [{ name: "twinbox_outbox_depth", labels: {}, value: 0 }]
      })
    }).pipe(Effect.provide(server(OutboxMemory.layer)))
  )

  it.scopedLive("is there without these counts when the store is away", () =>
    Effect.gen(function* () {
      const { status, text } = yield* ask("/metrics")
      expect(status).toBe(200)
      const names = [...parsePrometheus(text).keys()]
      expect(parsePrometheus(text).get("twinbox_outbox_up")?.samples).toMatchObject([{ value: 0 }])
      expect(names.filter((name) => name.startsWith("twinbox_outbox_"))).toEqual(["twinbox_outbox_up"])
      expect(names).toContain("effect_fiber_started")
    }).pipe(Effect.provide(server(storeAway)))
  )
})

describe("The server", () => {
  it.scopedLive("answers 404 for what is not there", () =>
    Effect.gen(function* () {
      expect((yield* ask("/passwords")).status).toBe(404)
    }).pipe(Effect.provide(server(OutboxMemory.layer)))
  )
})
