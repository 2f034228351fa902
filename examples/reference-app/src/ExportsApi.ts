import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { Access } from "./Access.ts"
import { ExportBody } from "./ExportBody.ts"
import { ExportResource } from "./ExportResource.ts"
import { documented, faulty, forbidden, unavailable } from "./Problem.ts"

const Id = Schema.Struct({ id: Schema.String.annotations({ description: "The id of the export" }) })

const DataHeaders = Schema.Struct({
  range: Schema.optional(
    Schema.String.annotations({
      description: "One range of bytes, for example `bytes=1000-`; see Accept-Ranges"
    })
  ),
  "if-range": Schema.optional(
    Schema.String.annotations({ description: "The range only if the data still has this ETag" })
  ),
  "if-none-match": Schema.optional(
    Schema.String.annotations({ description: "304 if the data still has this ETag" })
  )
})

const Data = HttpApiSchema.Uint8Array({ contentType: "application/octet-stream" })

const notFound = documented(404, "There is no such export, or it is somebody else's, or it has expired")
const ended = documented(409, "The export has ended already; `state` says how")

const Accepted = ExportResource.annotations(HttpApiSchema.annotations({ status: 202 }))

/** Exports of customers. */
export const ExportsApi = HttpApiGroup.make("exports")
  .add(
    HttpApiEndpoint.post("start", "/exports")
      .setPayload(ExportBody)
      .addSuccess(Accepted)
      .addError(documented(413, "The body has more than 64 KiB"))
      .addError(documented(415, "The body is not of a media type that is understood"))
      .addError(documented(429, "As many exports run as may"))
      .annotate(OpenApi.Summary, "Starts an export of customers")
      .annotate(
        OpenApi.Description,
        "Permission `exports:start:anonymized` or `exports:start:original`, as `view` says. Answers `Location`."
      )
  )
  .add(
    HttpApiEndpoint.get("list", "/exports")
      .addSuccess(Schema.Struct({ items: Schema.Array(ExportResource) }))
      .annotate(OpenApi.Summary, "Lists one's own exports")
      .annotate(OpenApi.Description, "With the permission `admin`, those of all.")
  )
  .add(
    HttpApiEndpoint.get("status", "/exports/:id")
      .setPath(Id)
      .addSuccess(ExportResource)
      .addError(notFound)
      .annotate(OpenApi.Summary, "Tells how far an export has come")
      .annotate(OpenApi.Description, "While it runs, with `Retry-After` and `X-Progress`.")
  )
  .add(
    HttpApiEndpoint.del("stop", "/exports/:id")
      .setPath(Id)
      .addSuccess(ExportResource)
      .addError(notFound)
      .addError(ended)
      .annotate(OpenApi.Summary, "Stops an export")
      .annotate(OpenApi.Description, "It is CANCELLED then, and what it has can still be read.")
  )
  .add(
    HttpApiEndpoint.post("finish", "/exports/:id/finish")
      .setPath(Id)
      .addSuccess(ExportResource)
      .addSuccess(Accepted)
      .addError(notFound)
      .addError(ended)
      .annotate(OpenApi.Summary, "Lets a live export come to its end")
      .annotate(
        OpenApi.Description,
        "It is COMPLETED then. 202: it is on its way there. 409 for an export that ends by itself."
      )
  )
  .add(
    HttpApiEndpoint.get("data", "/exports/:id/data")
      .setPath(Id)
      .setHeaders(DataHeaders)
      .addSuccess(Data)
      .addSuccess(Data.annotations(HttpApiSchema.annotations({ status: 206 })))
      .addError(notFound)
      .addError(documented(416, "The export has no bytes in this range, or not yet"))
      .annotate(OpenApi.Summary, "Gives the data of an export")
      .annotate(
        OpenApi.Description,
        "Of an export that runs, as it comes; the connection is cut when that does not end as COMPLETED. Of originals, " +
          "permission `exports:start:original`."
      )
  )
  .addError(forbidden)
  .addError(faulty)
  .addError(unavailable)
  .middleware(Access)
