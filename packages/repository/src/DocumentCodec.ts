import { Either, ParseResult, type Schema, SchemaAST } from "effect"
import { InvalidDocument, issuesOf } from "./RepositoryError.ts"
import type { StoredDocument } from "./StoredDocument.ts"
import type { Fields } from "./WritePlan.ts"

/** A document as a program sees it: the Schema's fields, its id and its version (0: a foreign program wrote it). */
export type Entity<A> = A & { readonly _id: string; readonly version: number }

/** Checks documents at both borders of a collection. */
export interface DocumentCodec<A> {
  /** Encodes and checks fields; fields that the Schema does not name are refused. */
  readonly encode: (value: A, id: string | undefined) => Either.Either<Fields, InvalidDocument>
  /** Checks and decodes a stored document; fields that the Schema does not name are passed over. */
  readonly decode: (stored: StoredDocument) => Either.Either<Entity<A>, InvalidDocument>
  /** Those fields of a stored document that the Schema does not name. */
  readonly extrasOf: (stored: StoredDocument) => Fields
}

/** Fields that the repository keeps in stored documents beside the Schema's own. */
export const reservedFields: ReadonlySet<string> = new Set(["_id", "version", "keyVersion", "fingerprint"])

const knownFields = (ast: SchemaAST.AST): ReadonlySet<string> =>
  new Set(SchemaAST.getPropertySignatures(SchemaAST.encodedAST(ast)).map(({ name }) => String(name)))

/** Names of the Schema's fields that a repository cannot store, because it keeps fields of the same name itself. */
export const clashes = (ast: SchemaAST.AST): ReadonlyArray<string> =>
  [...knownFields(ast)].filter((name) => reservedFields.has(name))

export const make = <A, I>(schema: Schema.Schema<A, I>, collection: string): DocumentCodec<A> => {
  const encodeUnknown = ParseResult.encodeUnknownEither(schema, { errors: "all", onExcessProperty: "error" })
  const decodeUnknown = ParseResult.decodeUnknownEither(schema, { errors: "all" })
  const known = knownFields(schema.ast)
  return {
    encode: (value, id) =>
      Either.mapBoth(encodeUnknown(value), {
        onLeft: (issue) => new InvalidDocument({ collection, id, stored: false, issues: issuesOf(issue) }),
        onRight: (encoded) => encoded as Fields
      }),
    decode: ({ _id, version, ...fields }) =>
      Either.mapBoth(decodeUnknown(fields), {
        onLeft: (issue) =>
          new InvalidDocument({ collection, id: String(_id), stored: true, issues: issuesOf(issue) }),
        onRight: (value) => ({ ...value, _id, version: version ?? 0 })
      }),
    extrasOf: (stored) =>
      Object.fromEntries(
        Object.entries(stored).filter(([name]) => !known.has(name) && !reservedFields.has(name))
      )
  }
}
