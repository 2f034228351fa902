import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { PrometheusText } from "@twinbox/outbox"
import { Schema } from "effect"

const serviceUnavailable = { status: 503 } as const

/** The process lives and its roles run. */
export const Alive = Schema.Struct({ status: Schema.Literal("alive") })

/** A role has failed for good; the process is about to end. */
export const Failed = Schema.Struct({ status: Schema.Literal("failed"), reason: Schema.String })

const Checks = Schema.Record({
  key: Schema.String,
  value: Schema.Struct({
    status: Schema.Literal("ok", "failed"),
    /** Why it failed, in words. */
    reason: Schema.optional(Schema.String)
  })
})

/** Every check has passed. */
export const Ready = Schema.Struct({ status: Schema.Literal("ready"), checks: Checks })

/** Some check has failed. */
export const NotReady = Schema.Struct({ status: Schema.Literal("not ready"), checks: Checks })

/** What those ask who run the app. */
export const OperationsApi = HttpApiGroup.make("operations", { topLevel: true })
  .add(
    HttpApiEndpoint.get("metrics", "/metrics")
      .addSuccess(HttpApiSchema.Text({ contentType: PrometheusText.contentType }))
      .annotate(OpenApi.Summary, "Metrics in the text format of Prometheus")
  )
  .add(
    HttpApiEndpoint.get("healthz", "/healthz")
      .addSuccess(Alive)
      .addError(Failed, serviceUnavailable)
      .annotate(OpenApi.Summary, "Whether the process lives and its roles run")
  )
  .add(
    HttpApiEndpoint.get("readyz", "/readyz")
      .addSuccess(Ready)
      .addError(NotReady, serviceUnavailable)
      .annotate(OpenApi.Summary, "Whether the process can do its work, and what keeps it from it")
  )
