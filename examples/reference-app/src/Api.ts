import { HttpApi, OpenApi } from "@effect/platform"
import { CustomersV1, CustomersV2 } from "./CustomersApi.ts"
import { ExportsApi } from "./ExportsApi.ts"
import { LogsApi } from "./LogsApi.ts"
import { OperationsApi } from "./OperationsApi.ts"
import { Details } from "./Problem.ts"
import * as ProblemResponses from "./ProblemResponses.ts"
import { RefusedApi } from "./RefusedApi.ts"
import { TwinsApi } from "./TwinsApi.ts"

/** All that the app answers over HTTP. */
export class Api extends HttpApi.make("twinbox")
  .add(CustomersV1)
  .add(CustomersV2)
  .add(TwinsApi)
  .add(RefusedApi)
  .add(ExportsApi)
  .add(LogsApi)
  .add(OperationsApi)
  .annotate(OpenApi.Title, "Twinbox reference app")
  .annotate(OpenApi.Version, "0.1.0")
  .annotate(
    OpenApi.Description,
    "Customers over REST, each with an anonymized twin. Errors are problem+json (RFC 9457). Each answer has an " +
      "`X-Request-Id`, yours if you send one."
  )
  .annotate(HttpApi.AdditionalSchemas, [Details])
  .annotate(OpenApi.Transform, ProblemResponses.describe) {}
