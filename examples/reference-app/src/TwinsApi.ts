import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { Access } from "./Access.ts"
import { CustomerId } from "./CustomerId.ts"
import { CustomerResource } from "./CustomerJson.ts"
import { documented, faulty, forbidden, unavailable } from "./Problem.ts"

/** Anonymized customers. */
export const TwinsApi = HttpApiGroup.make("twins")
  .add(
    HttpApiEndpoint.get("twin", "/v1/customers/:uid/twin")
      .setPath(Schema.Struct({ uid: CustomerId }))
      .addSuccess(CustomerResource)
      .addError(documented(404, "There is no such customer"))
      .annotate(OpenApi.Summary, "Reads the anonymized twin of a customer")
      .annotate(OpenApi.Description, "Permission `twins:read`.")
  )
  .addError(forbidden)
  .addError(faulty)
  .addError(unavailable)
  .middleware(Access)
