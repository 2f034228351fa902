import { HttpApi, HttpApiBuilder, HttpMiddleware } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import type { OutboxStore } from "@twinbox/outbox"
import { Layer } from "effect"
import * as Answers from "./Answers.ts"
import * as ApiRoutes from "./ApiRoutes.ts"
import * as OpenAccess from "./OpenAccess.ts"
import { OperationsApi } from "./OperationsApi.ts"
import * as OperationsHandlers from "./OperationsHandlers.ts"
import type { Readiness } from "./Readiness.ts"
import type { RoleError, RoleFailures } from "./RoleFailures.ts"
import type { Settings } from "./Settings.ts"

/** A part of the whole API, under its name: the handlers are the same. */
const operations = HttpApi.make("twinbox").add(OperationsApi)

const routes = ApiRoutes.make(operations, [])

/** Answers `/metrics`, `/healthz` and `/readyz` in a process that listens and has no API. */
export const layer: Layer.Layer<
  never,
  RoleError,
  OutboxStore.OutboxStore | Readiness | RoleFailures | Settings
> = HttpApiBuilder.serve().pipe(
  HttpMiddleware.withTracerDisabledWhen(() => true),
  Layer.provide(Layer.merge(Answers.layer(routes), ApiRoutes.router)),
  Layer.provide(HttpApiBuilder.api(operations)),
  Layer.provide(OperationsHandlers.layer),
  Layer.provide(NodeHttpServer.layerContext),
  Layer.provide(OpenAccess.listener)
)
