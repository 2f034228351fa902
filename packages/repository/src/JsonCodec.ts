import { Either, ParseResult, type Schema } from "effect"
import * as JsonSide from "./JsonSide.ts"
import { type DocumentIssue, issuesOf } from "./RepositoryError.ts"
import type { Fields } from "./StoredDocument.ts"

/** Documents without `_id` and `version`, to and from the JSON values that topics and bodies carry. */
export interface JsonCodec<A> {
  readonly encode: (value: A) => Either.Either<Fields, ReadonlyArray<DocumentIssue>>
  /** Fields that the Schema does not name are refused. */
  readonly decode: (json: unknown) => Either.Either<A, ReadonlyArray<DocumentIssue>>
}

export const make = <A, I>(schema: Schema.Schema<A, I>): JsonCodec<A> => {
  const json = JsonSide.of(schema)
  const encode = ParseResult.encodeUnknownEither(json, { errors: "all" })
  const decode = ParseResult.decodeUnknownEither(json, { errors: "all", onExcessProperty: "error" })
  return {
    encode: (value) => Either.mapBoth(encode(value), { onLeft: issuesOf, onRight: (it) => it as Fields }),
    decode: (value) => Either.mapLeft(decode(value), issuesOf)
  }
}
