import { hash } from "node:crypto"
import { Array as Arr, Either, Schema } from "effect"
import {
  RedactedField,
  UnannotatedField,
  UnexpectedValue,
  UnknownField,
  UnsupportedSchema
} from "./AnonymizeError.ts"
import type { AnonymizeKey } from "./AnonymizeKey.ts"
import { type FieldNode, isObject, type Leaf, unexpected } from "./FieldNode.ts"
import * as FieldPath from "./FieldPath.ts"
import { HmacSha256 } from "./HmacSha256.ts"
import { SchemaCompiler } from "./SchemaCompiler.ts"
import type { FullyAnnotated, TwinEncodedOf, TwinOf } from "./TwinSchema.ts"

/** What one field of a Schema becomes. */
export interface FieldPlan {
  /** Where it stands, e.g. `address.line1`, `tags[]`. */
  readonly path: string
  readonly strategy: string
  /** What its pseudonyms are shared under; empty where nothing is hashed with the key. */
  readonly scope: string
  /** Characters of the pseudonym; 0 where there is none. */
  readonly length: number
}

/**
 * A Schema compiled into functions on stored documents. `Original` is the document as stored (the Schema's encoded
 * side), `Twin` the twin as stored, `TwinType` the twin as decoded by `twinSchema`.
 */
export interface Anonymizer<Original, Twin, TwinType = Twin, R = never> {
  /** The version of the key that it works with. */
  readonly keyVersion: number
  /**
   * 16 hexadecimal characters that change when a field's strategy, scope or length does. Twins made under another
   * fingerprint or key version have to be made anew with `anonymize`.
   */
  readonly fingerprint: string
  /** Every field and what becomes of it, for audits. */
  readonly fields: ReadonlyArray<FieldPlan>
  /** Schema of the twin. */
  readonly twinSchema: Schema.Schema<TwinType, Twin, R>
  /** The twin of a document. Only declared fields are read. Throws `UnexpectedValue` when it does not fit the Schema. */
  readonly anonymize: (document: Original) => Twin
  /** `anonymize` with the error as a value. */
  readonly anonymizeEither: (document: Original) => Either.Either<Twin, UnexpectedValue>
  /**
   * The twin of `next`, hashing only what differs from `previous` (objects field by field, arrays by index) and taking
   * the rest from `previousTwin`, which must have been made under the same key version and fingerprint. A value of
   * the earlier twin that cannot be a pseudonym is not taken over. Throws `UnexpectedValue` as `anonymize` does.
   */
  readonly reanonymize: (previous: Original, next: Original, previousTwin: Twin) => Twin
  /** `reanonymize` with the error as a value. */
  readonly reanonymizeEither: (
    previous: Original,
    next: Original,
    previousTwin: Twin
  ) => Either.Either<Twin, UnexpectedValue>
  /**
   * Whether a value of an original belongs to a value of a twin, in the field at `path` (items of an array as `tags`
   * or `tags[]`). Hashed values are compared in constant time; for an e-mail the twin's value may be the whole address
   * or its pseudonym alone. A redacted value matches nothing. Throws `UnknownField` for a path the Schema lacks.
   */
  readonly matches: (path: string, originalValue: unknown, twinValue: unknown) => boolean
  /**
   * What twins have in the place of an original's value, in the field at `path`: more than one where members of a union
   * treat that field differently. To look up twins by. Throws `UnknownField` as `matches` does, `RedactedField` where
   * twins show nothing, and `UnexpectedValue` for a value of another shape than declared.
   */
  readonly twinValues: (path: string, originalValue: unknown) => ReadonlyArray<unknown>
}

/** The anonymizer of a Schema. */
export type AnonymizerOf<S extends Schema.Schema.All> = Anonymizer<
  Schema.Schema.Encoded<S>,
  TwinEncodedOf<S>,
  TwinOf<S>,
  Schema.Schema.Context<S>
>

/** Why a Schema has no anonymizer. */
export type AnonymizerError = UnannotatedField | UnsupportedSchema

const planOf = ({ path, strategy, scope, length }: Leaf): FieldPlan => ({ path, strategy, scope, length })

const fingerprintOf = (fields: ReadonlyArray<FieldPlan>): string => {
  const lines = fields.map(({ path, strategy, scope, length }) =>
    JSON.stringify([path, strategy, scope, length])
  )
  return hash("sha256", lines.sort().join("\n"), "hex").slice(0, 16)
}

type LeavesAt = (path: string) => ReadonlyArray<Leaf>

const leavesByPath = (leaves: ReadonlyArray<Leaf>): LeavesAt => {
  const byPath = new Map(Object.entries(Arr.groupBy(leaves, ({ path }) => FieldPath.lookup(path))))
  return (path) => {
    const found = byPath.get(FieldPath.lookup(path))
    if (found === undefined) throw new UnknownField({ path, known: leaves.map((leaf) => leaf.path) })
    return found
  }
}

const twinValues =
  (leavesAt: LeavesAt): Anonymizer<unknown, unknown>["twinValues"] =>
  (path, originalValue) => {
    const shown = leavesAt(path).flatMap(({ twinOf }) => (twinOf === undefined ? [] : [twinOf]))
    if (shown.length === 0) throw new RedactedField({ path })
    return [...new Set(shown.map((twinOf) => twinOf(originalValue)))]
  }

const catchUnexpected = <A>(make: () => A): Either.Either<A, UnexpectedValue> =>
  Either.try({
    try: make,
    catch: (error) => {
      if (error instanceof UnexpectedValue) return error
      throw error
    }
  })

const assemble = (key: AnonymizeKey, node: FieldNode, leaves: ReadonlyArray<Leaf>) => {
  const fields = leaves.map(planOf)
  const leavesAt = leavesByPath(leaves)
  const requireDocument = (document: unknown): unknown => {
    if (!isObject(document)) throw unexpected("", "an object", document)
    return document
  }
  const anonymize = (document: unknown) => node.anonymize(requireDocument(document))
  const reanonymize = (previous: unknown, next: unknown, previousTwin: unknown) =>
    node.reanonymize(previous, requireDocument(next), previousTwin)
  return {
    keyVersion: key.version,
    fingerprint: fingerprintOf(fields),
    fields,
    twinSchema: Schema.make<unknown, unknown>(node.twin),
    anonymize,
    anonymizeEither: (document: unknown) => catchUnexpected(() => anonymize(document)),
    reanonymize,
    reanonymizeEither: (previous: unknown, next: unknown, previousTwin: unknown) =>
      catchUnexpected(() => reanonymize(previous, next, previousTwin)),
    matches: (path: string, originalValue: unknown, twinValue: unknown) =>
      leavesAt(path).some((leaf) => leaf.matches(originalValue, twinValue)),
    twinValues: twinValues(leavesAt)
  } satisfies Anonymizer<unknown, unknown>
}

const walk = (
  schema: Schema.Schema.All,
  hmac: HmacSha256
): Either.Either<{ readonly node: FieldNode; readonly leaves: ReadonlyArray<Leaf> }, AnonymizerError> => {
  const compiler = new SchemaCompiler(hmac)
  const node = compiler.document(schema.ast)
  const unannotated = [...compiler.unannotated]
  if (Arr.isNonEmptyArray(unannotated)) return Either.left(new UnannotatedField({ paths: unannotated }))
  if (Arr.isNonEmptyArray(compiler.unsupported)) {
    return Either.left(new UnsupportedSchema({ places: compiler.unsupported }))
  }
  return Either.right({ node, leaves: compiler.leaves })
}

const compile = <S extends Schema.Schema.All>(
  schema: S,
  key: AnonymizeKey
): Either.Either<AnonymizerOf<S>, AnonymizerError> =>
  Either.map(
    walk(schema, key.hmac),
    // The compiled functions follow the Schema, which the types are derived from; no type can follow the walk itself.
    ({ leaves, node }) => assemble(key, node, leaves) as unknown as AnonymizerOf<S>
  )

/** The walk makes functions that hash, though the shape of twins depends on no secret; these never run. */
const noKey = new HmacSha256(new Uint8Array())

const twinSchema = <S extends Schema.Schema.All>(
  schema: S
): Either.Either<AnonymizerOf<S>["twinSchema"], AnonymizerError> =>
  Either.map(
    walk(schema, noKey),
    ({ node }) => Schema.make<unknown, unknown>(node.twin) as unknown as AnonymizerOf<S>["twinSchema"]
  )

const make: <S extends Schema.Schema.All>(
  schema: S & FullyAnnotated<S>,
  key: AnonymizeKey
) => Either.Either<AnonymizerOf<S>, AnonymizerError> = compile

/** Compiles annotated Schemas. */
export const Anonymizer = {
  /**
   * Compiles a Schema. A field without an annotation does not compile where the type shows it, and is an
   * `UnannotatedField` in any case; shapes that cannot be anonymized are an `UnsupportedSchema`.
   */
  make,
  /** `make` for a Schema whose type does not show its fields, e.g. in generic code: only the check at run time. */
  compile,
  /** The Schema of the twins alone: for readers of twins, who have no secret. Checked at run time as `compile` is. */
  twinSchema
}
