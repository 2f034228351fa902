import { isDeepStrictEqual } from "node:util"
import { Either, ParseResult, type Schema, SchemaAST } from "effect"
import { type DocumentIssue, InvalidDocument, issuesOf } from "./RepositoryError.ts"
import { type Fields, type StoredDocument, versionIn } from "./StoredDocument.ts"

/** A document as a program sees it: the Schema's fields, its id and its version (0: a foreign program wrote it). */
export type Entity<A> = A & { readonly _id: string; readonly version: number }

/** Checks documents at both borders of a collection. */
export interface DocumentCodec<A> {
  /** Encodes and checks fields; fields that the Schema does not name are refused. */
  readonly encode: (value: A, id: string | undefined) => Either.Either<Fields, InvalidDocument>
  /** Checks and decodes a stored document; fields that the Schema does not name are passed over. */
  readonly decode: (stored: StoredDocument) => Either.Either<Entity<A>, InvalidDocument>
}

/** Fields that the repository keeps in originals or twins beside the Schema's own. */
const reservedFields: ReadonlySet<string> = new Set(["_id", "version", "keyVersion", "fingerprint"])

/** Names of the Schema's fields that a repository cannot store, because it keeps fields of the same name itself. */
export const clashes = (ast: SchemaAST.AST): ReadonlyArray<string> =>
  SchemaAST.getPropertySignatures(SchemaAST.encodedAST(ast))
    .map(({ name }) => String(name))
    .filter((name) => reservedFields.has(name))

/**
 * Those fields of a stored document that are the same before and after a change of the Schema's fields, as
 * they are stored: so what foreign programs added, at any depth, survives a change of something else.
 */
export const untouched = (
  { _id, version, ...stored }: StoredDocument,
  before: Fields,
  after: Fields
): Fields =>
  Object.fromEntries(Object.entries(stored).filter(([name]) => isDeepStrictEqual(before[name], after[name])))

export const make = <A, I>(schema: Schema.Schema<A, I>, collection: string): DocumentCodec<A> => {
  const encodeUnknown = ParseResult.encodeUnknownEither(schema, { errors: "all", onExcessProperty: "error" })
  const decodeUnknown = ParseResult.decodeUnknownEither(schema, { errors: "all" })
  return {
    encode: (value, id) =>
      Either.mapBoth(encodeUnknown(value), {
        onLeft: (issue) => new InvalidDocument({ collection, id, stored: false, issues: issuesOf(issue) }),
        onRight: (encoded) => encoded as Fields
      }),
    decode: (stored) => {
      const { _id, version, ...fields } = stored
      const refused = (issues: ReadonlyArray<DocumentIssue>) =>
        new InvalidDocument({ collection, id: String(_id), stored: true, issues })
      // A foreign program may have left the id to its driver, which makes an ObjectId.
      if (typeof _id !== "string") return Either.left(refused([{ path: "_id", problem: "is not text" }]))
      return Either.mapBoth(decodeUnknown(fields), {
        onLeft: (issue) => refused(issuesOf(issue)),
        onRight: (value) => ({ ...value, _id, version: versionIn(stored) })
      })
    }
  }
}
