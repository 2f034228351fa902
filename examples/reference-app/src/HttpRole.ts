import { HttpApiBuilder, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import type { OutboxStore } from "@twinbox/outbox"
import { MongoDatabase } from "@twinbox/mongodb"
import { Effect, Layer } from "effect"
import { Api } from "./Api.ts"
import * as HttpListener from "./HttpListener.ts"
import * as OperationsHandlers from "./OperationsHandlers.ts"
import { Readiness, Unready } from "./Readiness.ts"
import type { RoleError, RoleFailures } from "./RoleFailures.ts"
import type { Settings } from "./Settings.ts"

export type Requirements =
  MongoDatabase.MongoDatabase | OutboxStore.OutboxStore | Readiness | RoleFailures | Settings

/** Asks the primary, without which nothing can be saved. A ping that nobody waits for any longer is taken back. */
const checkMongo = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  const readiness = yield* Readiness
  yield* readiness.add(
    "mongodb",
    Effect.tryPromise({
      try: (signal) => db.command({ ping: 1 }, { signal }),
      catch: () => new Unready({ reason: "no primary of MongoDB answers" })
    })
  )
})

const announce = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  yield* Effect.logInfo(`HTTP: ${HttpServer.formatAddress(address)} has /metrics, /healthz and /readyz`)
})

/** The role `http`: answers until its scope ends, and finishes what is on its way. */
export const layer: Layer.Layer<never, RoleError, Requirements> = HttpApiBuilder.serve().pipe(
  Layer.provide(HttpApiBuilder.api(Api)),
  Layer.provide(OperationsHandlers.layer),
  Layer.merge(Layer.scopedDiscard(checkMongo)),
  Layer.merge(Layer.effectDiscard(announce)),
  Layer.provide(NodeHttpServer.layerContext),
  Layer.provide(HttpListener.layer)
)
