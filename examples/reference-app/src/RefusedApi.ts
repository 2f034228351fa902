import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { Access } from "./Access.ts"
import { rule } from "./FieldProblem.ts"
import { documented, faulty, forbidden, unavailable } from "./Problem.ts"

const Position = Schema.String.pipe(
  Schema.pattern(/^\d{1,20}-\d{1,20}$/, rule("must be a position such as 1767225600000-0"))
)

/** Writes of one page. */
export const pageSize = 100

const RefusedWrite = Schema.Struct({
  position: Schema.String,
  write: Schema.String.annotations({ description: "What `X-Pending` was when it was made" }),
  uid: Schema.NullOr(Schema.String),
  operation: Schema.NullOr(Schema.Literal("create", "replace", "patch", "delete")),
  reason: Schema.Literal("Exists", "NotFound", "VersionConflict", "Invalid", "TooLarge", "Failed"),
  attempts: Schema.Int,
  refusedAt: Schema.String
})

const RefusedPage = Schema.Struct({
  items: Schema.Array(RefusedWrite),
  next: Schema.NullOr(Schema.String).annotations({
    description: "The `before` of the next page; null: there is none"
  })
})

const notFound = documented(404, "There is no such write")

/** Writes of v2 that MongoDB refused. */
export const RefusedApi = HttpApiGroup.make("refused")
  .add(
    HttpApiEndpoint.get("list", "/v2/refused")
      .setUrlParams(
        Schema.Struct({ before: Schema.optionalWith(Position, { exact: true }) }).annotations({
          parseOptions: { errors: "all", onExcessProperty: "error" }
        })
      )
      .addSuccess(RefusedPage)
      .annotate(OpenApi.Summary, "Lists the writes that MongoDB refused, the newest first")
      .annotate(OpenApi.Description, "Permission `admin`. What was to be written is not shown.")
  )
  .add(
    HttpApiEndpoint.post("requeue", "/v2/refused/:position/requeue")
      .setPath(Schema.Struct({ position: Position }))
      .addSuccess(HttpApiSchema.NoContent)
      .addError(notFound)
      .annotate(
        OpenApi.Summary,
        "Gives a refused write to MongoDB again, for whatever version there is by then"
      )
      .annotate(OpenApi.Description, "Permission `admin`. Answers its new position as `X-Pending`.")
  )
  .add(
    HttpApiEndpoint.del("discard", "/v2/refused/:position")
      .setPath(Schema.Struct({ position: Position }))
      .addSuccess(HttpApiSchema.NoContent)
      .addError(notFound)
      .annotate(OpenApi.Summary, "Forgets a refused write")
      .annotate(OpenApi.Description, "Permission `admin`.")
  )
  .addError(forbidden)
  .addError(faulty)
  .addError(unavailable)
  .middleware(Access)
