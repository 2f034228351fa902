import { HttpApiBuilder, type HttpApiGroup, HttpServerResponse } from "@effect/platform"
import type { MongoDatabase } from "@twinbox/mongodb"
import { Effect, type Layer } from "effect"
import { type Access, need } from "./Access.ts"
import { Api } from "./Api.ts"
import * as LogPage from "./LogPage.ts"
import { defaultLimit } from "./LogsApi.ts"
import * as LogStore from "./LogStore.ts"
import { invalid, Problem } from "./Problem.ts"
import { RequestLimits } from "./RequestLimits.ts"

const noId = invalid([
  { path: "session_id", problem: "is missing, and so is request_id: at least one is needed" }
])

const failed = ({ message, retryable }: LogStore.LogStoreError): Problem =>
  retryable
    ? new Problem({ kind: "unavailable", detail: "The log cannot be read just now: come again later." })
    : new Problem({
        kind: "internal",
        detail: "The log has more under the id of this request.",
        cause: { message }
      })

/** Lets people look for what happened in a session or a request. */
export const layer: Layer.Layer<
  HttpApiGroup.ApiGroup<"twinbox", "logs">,
  never,
  Access | MongoDatabase.MongoDatabase | RequestLimits
> = HttpApiBuilder.group(Api, "logs", (handlers) =>
  Effect.gen(function* () {
    const { run } = yield* RequestLimits
    const store = yield* LogStore.make
    return handlers.handle("list", ({ urlParams }) =>
      Effect.gen(function* () {
        yield* need("admin")
        if (urlParams.session_id === undefined && urlParams.request_id === undefined) return yield* noId
        const query = { limit: defaultLimit, ...urlParams }
        const lines = yield* Effect.mapError(store.find(query), failed)
        return HttpServerResponse.unsafeJson(LogPage.of(lines, query.limit), {
          headers: { "cache-control": "no-store" }
        })
      }).pipe(run)
    )
  })
)
