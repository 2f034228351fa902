import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { Access } from "./Access.ts"
import { defaultPage, Limit } from "./CustomersApi.ts"
import { rule } from "./FieldProblem.ts"
import { idPattern } from "./LogLine.ts"
import * as LogStore from "./LogStore.ts"
import { faulty, forbidden, unavailable } from "./Problem.ts"

const Id = Schema.String.pipe(
  Schema.pattern(idPattern, rule("must be 1 to 128 letters, digits or one of . _ : -"))
)

const Position = Schema.String.pipe(
  Schema.pattern(LogStore.positionPattern, rule("must be a `next` of a page before"))
)

/** Unknown parameters are refused: a filter with a slip of the pen would find too much. */
const Params = Schema.Struct({
  session_id: Schema.optionalWith(Id, { exact: true }),
  request_id: Schema.optionalWith(Id, { exact: true }),
  limit: Schema.optionalWith(Limit, { exact: true }),
  before: Schema.optionalWith(Position, { exact: true })
}).annotations({ parseOptions: { errors: "all", onExcessProperty: "error" } })

export const defaultLimit = defaultPage

const Line = Schema.Struct({
  at: Schema.String,
  level: Schema.String,
  message: Schema.String,
  session_id: Schema.optional(Schema.String),
  request_id: Schema.optional(Schema.String),
  notes: Schema.Record({
    key: Schema.String,
    value: Schema.Union(Schema.String, Schema.Number, Schema.Boolean)
  }).annotations({ description: "Other annotations of the line" }),
  errors: Schema.Array(Schema.String).annotations({ description: "The kinds of the errors it tells of" })
})

const LogPage = Schema.Struct({
  items: Schema.Array(Line),
  next: Schema.NullOr(Schema.String).annotations({
    description: "The `before` of the next page; null: there is none"
  })
})

/** Lines of the logs of all processes. */
export const LogsApi = HttpApiGroup.make("logs")
  .add(
    HttpApiEndpoint.get("list", "/admin/logs")
      .setUrlParams(Params)
      .addSuccess(LogPage)
      .annotate(OpenApi.Summary, "Lists the log lines of a session, a request or both, the newest first")
      .annotate(
        OpenApi.Description,
        "Permission `admin`. `session_id`, `request_id` or both are needed. Lines come within a second."
      )
  )
  .addError(forbidden)
  .addError(faulty)
  .addError(unavailable)
  .middleware(Access)
