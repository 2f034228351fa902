import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Effect, Option } from "effect"
import { need } from "./Access.ts"
import { Api } from "./Api.ts"
import { Customers } from "./Customers.ts"
import { RequestLimits } from "./RequestLimits.ts"
import * as ETag from "./ETag.ts"
import * as MongoCustomers from "./MongoCustomers.ts"
import * as StoreProblem from "./StoreProblem.ts"

/** Answers with anonymized customers. */
export const layer = HttpApiBuilder.group(Api, "twins", (handlers) =>
  Effect.gen(function* () {
    const { twins } = yield* Customers
    const { run } = yield* RequestLimits
    const twin = (uid: string) =>
      Effect.gen(function* () {
        yield* need("twins:read")
        const found = yield* Effect.mapError(twins.get(uid), MongoCustomers.failed)
        if (Option.isNone(found)) return yield* StoreProblem.notFound
        const { _id, version, ...fields } = found.value
        return HttpServerResponse.unsafeJson(
          { uid: _id, version, ...fields },
          { headers: { "cache-control": "private, no-cache", etag: ETag.of(version) } }
        )
      })
    return handlers.handle("twin", ({ path }) => Effect.mapError(run(twin(path.uid)), StoreProblem.of))
  })
)
