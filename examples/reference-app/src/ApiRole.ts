import { HttpApiBuilder, HttpMiddleware, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import type { MongoDatabase, MongoError } from "@twinbox/mongodb"
import type { OutboxStore } from "@twinbox/outbox"
import type { RedisError } from "@twinbox/redis"
import { Effect, Layer } from "effect"
import * as Access from "./Access.ts"
import * as Answers from "./Answers.ts"
import { Api } from "./Api.ts"
import * as ApiDocs from "./ApiDocs.ts"
import * as ApiRoutes from "./ApiRoutes.ts"
import * as CustomerOutbox from "./CustomerOutbox.ts"
import type { Customers } from "./Customers.ts"
import * as CustomersHandlers from "./CustomersHandlers.ts"
import * as Exports from "./Exports.ts"
import * as ExportsHandlers from "./ExportsHandlers.ts"
import * as LogsHandlers from "./LogsHandlers.ts"
import type { MirrorRedis } from "./MirrorRedis.ts"
import * as MongoCheck from "./MongoCheck.ts"
import * as MongoCustomers from "./MongoCustomers.ts"
import * as OpenAccess from "./OpenAccess.ts"
import * as OperationsHandlers from "./OperationsHandlers.ts"
import type { Readiness } from "./Readiness.ts"
import * as RedisCustomers from "./RedisCustomers.ts"
import * as RefusedHandlers from "./RefusedHandlers.ts"
import * as RequestLimits from "./RequestLimits.ts"
import type { RoleError, RoleFailures } from "./RoleFailures.ts"
import type { Settings } from "./Settings.ts"
import { StopSignal } from "./StopSignal.ts"
import * as TwinsHandlers from "./TwinsHandlers.ts"

export type Requirements =
  | Customers
  | MirrorRedis
  | MongoDatabase.MongoDatabase
  | OutboxStore.OutboxStore
  | Readiness
  | RoleFailures
  | Settings
  | StopSignal

/** The relay carries on what was written and then stops: nothing more is to come. Health and metrics are still told. */
const closeAtStop = Effect.gen(function* () {
  const { received } = yield* StopSignal
  const { close } = yield* RequestLimits.RequestLimits
  yield* Effect.forkScoped(Effect.zipRight(received, close))
})

const announce = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  const url = HttpServer.formatAddress(address).replace(/\/\/(.*:.*):/, "//[$1]:")
  yield* Effect.logInfo(`HTTP: ${url} has /v1, /v2, /docs, /metrics, /healthz and /readyz`)
})

const routes = ApiRoutes.make(Api, ApiDocs.pages)

const handlers = Layer.mergeAll(
  CustomersHandlers.layer,
  TwinsHandlers.layer,
  RefusedHandlers.layer,
  ExportsHandlers.layer,
  LogsHandlers.layer,
  OperationsHandlers.layer
)

const stores = Layer.merge(MongoCustomers.layer, RedisCustomers.layer).pipe(
  Layer.provideMerge(CustomerOutbox.layer)
)

/** Answers on the server of the context. The spans are those of `Answers`, which have no addresses and headers. */
export const served: Layer.Layer<
  never,
  MongoError.MongoError | RedisError.RedisError,
  HttpServer.HttpServer | RequestLimits.RequestLimits | Exclude<Requirements, StopSignal>
> = HttpApiBuilder.serve().pipe(
  HttpMiddleware.withTracerDisabledWhen(() => true),
  Layer.provide(Layer.mergeAll(Answers.layer(routes), ApiDocs.layer, ApiRoutes.router)),
  Layer.provide(HttpApiBuilder.api(Api)),
  Layer.provide(handlers),
  Layer.provide(Layer.mergeAll(Access.layer, stores, Exports.layer)),
  Layer.provide(NodeHttpServer.layerContext)
)

/** The role `api`: answers until its scope ends, and finishes what is on its way. */
export const layer: Layer.Layer<never, RoleError, Requirements> = Layer.effectDiscard(announce).pipe(
  // Nobody is told of what does not answer yet.
  Layer.provideMerge(served),
  Layer.merge(Layer.scopedDiscard(closeAtStop)),
  Layer.provide(RequestLimits.layer()),
  Layer.merge(Layer.scopedDiscard(MongoCheck.add)),
  Layer.provide(OpenAccess.listener)
)
