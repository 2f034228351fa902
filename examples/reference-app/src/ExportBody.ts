import { ExportFormat } from "@twinbox/exporter"
import { Either, ParseResult, Schema } from "effect"
import { type FieldProblem, ofIssues, rule } from "./FieldProblem.ts"

/*
 * What somebody wants to be exported, as the body of a request.
 */

/** Fields of an export's records; those of addresses one by one, too. */
export const columns = [
  "_id",
  "version",
  "deleted",
  "firstName",
  "lastName",
  "name",
  "email",
  "address",
  "address.line1",
  "address.line2",
  "address.postcode",
  "address.city",
  "address.state",
  "address.country",
  "createdAt"
] as const

/**
 * - `snapshot`: the customers that there are.
 * - `snapshot+live`: these, and then all changes until somebody ends it.
 * - `live`: the changes alone.
 */
export const modes = ["snapshot", "snapshot+live", "live"] as const

const oneOf = <const Values extends ReadonlyArray<string>>(values: Values) => {
  const { message } = rule(`must be one of ${values.join(", ")}`)
  // In place of what each of the values has to say.
  return Schema.Literal(...values).annotations({ message: () => ({ message: message(), override: true }) })
}

const csvNeedsColumns = "is missing: csv needs it"

rule(csvNeedsColumns)

const Columns = Schema.Array(oneOf(columns)).pipe(
  Schema.minItems(1, rule("must have a member at least")),
  Schema.filter((names) => new Set(names).size === names.length, rule("must not have a member twice"))
)

const Fields = Schema.Struct({
  view: Schema.optionalWith(oneOf(["anonymized", "original"]), { exact: true }).annotations({
    description: "The twins, which is the default, or the customers themselves"
  }),
  mode: Schema.optionalWith(oneOf(modes), { exact: true }).annotations({
    description: "The customers that there are (`snapshot`, the default), their changes, or both"
  }),
  format: Schema.optionalWith(oneOf(ExportFormat.formats), { exact: true }).annotations({
    description: "`ndjson` is the default"
  }),
  columns: Schema.optionalWith(Columns, { exact: true }).annotations({
    description: "Which fields, and in which order; CSV needs them. Default: all"
  }),
  gzip: Schema.optionalWith(Schema.Boolean, { exact: true }).annotations({ description: "Default: false" })
})

export const ExportBody = Fields.pipe(
  Schema.filter(
    ({ columns, format }) =>
      format !== "csv" || columns !== undefined || { path: ["columns"], message: csvNeedsColumns }
  )
).annotations({
  examples: [
    { mode: "snapshot+live" },
    { view: "original", format: "csv", columns: ["_id", "email", "address.city"], gzip: true }
  ]
})
export type ExportBody = typeof ExportBody.Type

const decodeUnknown = ParseResult.decodeUnknownEither(ExportBody, {
  errors: "all",
  onExcessProperty: "error"
})

/** Checks the body of a request. */
export const decode = (value: unknown): Either.Either<ExportBody, ReadonlyArray<FieldProblem>> =>
  Either.mapLeft(decodeUnknown(value), (issue) => ofIssues(ParseResult.ArrayFormatter.formatIssueSync(issue)))
