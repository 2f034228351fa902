import { ParseResult, Schema } from "effect"
import { CustomerId } from "./CustomerId.ts"
import { rule } from "./FieldProblem.ts"

const encode = (id: string): string => Buffer.from(id, "utf8").toString("base64url")

const decode = (cursor: string): string => Buffer.from(cursor, "base64url").toString("utf8")

const text = Schema.String.pipe(
  Schema.maxLength(2_800),
  // Only what was given out comes back the same.
  Schema.filter((cursor) => encode(decode(cursor)) === cursor && Schema.is(CustomerId)(decode(cursor)))
)

const shown = text.annotations({
  ...rule("must be a `next` of a page before"),
  jsonSchema: { type: "string" },
  description: "The `next` of the page before"
})

/** Where a page ended: the last id of it, in a form that is not meant to be understood. */
export const Cursor = Schema.transformOrFail(shown, Schema.String, {
  strict: true,
  decode: (cursor) => ParseResult.succeed(decode(cursor)),
  encode: (id) => ParseResult.succeed(encode(id))
})

export const of = encode
