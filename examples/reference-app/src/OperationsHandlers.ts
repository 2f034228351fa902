import { HttpApiBuilder, type HttpApiGroup, HttpServerResponse } from "@effect/platform"
import { OutboxGauges, type OutboxStore, PrometheusText } from "@twinbox/outbox"
import { Effect, type Layer, Option } from "effect"
import { Api } from "./Api.ts"
import type { Alive, Failed, NotReady, Ready } from "./OperationsApi.ts"
import { type Findings, Readiness } from "./Readiness.ts"
import { RoleFailures } from "./RoleFailures.ts"
import { sentenceOf } from "./Sentence.ts"

/** Not as an error: those are answered as problems, and this is what was asked for. */
const unavailable = (body: typeof Failed.Type | typeof NotReady.Type) =>
  HttpServerResponse.unsafeJson(body, { status: 503 })

const health = Effect.gen(function* () {
  const failure = yield* (yield* RoleFailures).poll
  if (Option.isNone(failure)) return { status: "alive" } satisfies typeof Alive.Type
  return unavailable({ status: "failed", reason: sentenceOf(failure.value) })
})

const checksOf = (findings: Findings): (typeof Ready.Type)["checks"] =>
  Object.fromEntries(
    [...findings].map(([name, { reason }]) => [
      name,
      reason === undefined ? { status: "ok" } : { status: "failed", reason }
    ])
  )

const readiness = Effect.gen(function* () {
  const findings = yield* (yield* Readiness).findings
  const checks = checksOf(findings)
  const isReady = Object.values(checks).every(({ status }) => status === "ok")
  if (isReady) return { status: "ready", checks } satisfies typeof Ready.Type
  return unavailable({ status: "not ready", checks })
})

/** Answers what those ask who run the app. */
export const layer: Layer.Layer<
  HttpApiGroup.ApiGroup<"twinbox", "operations">,
  never,
  OutboxStore.OutboxStore | Readiness | RoleFailures
> = HttpApiBuilder.group(Api, "operations", (handlers) =>
  Effect.map(OutboxGauges.make(), (gauges) =>
    handlers
      .handle("metrics", () => Effect.map(gauges.snapshot, PrometheusText.render))
      .handle("healthz", () => health)
      .handle("readyz", () => readiness)
  )
)
