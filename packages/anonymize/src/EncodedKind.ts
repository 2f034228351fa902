import { ParseResult, Schema, SchemaAST } from "effect"

/** The kinds of values that are stored; `opaque` stands for what only the Schema itself can tell. */
export type EncodedKind =
  | "null"
  | "undefined"
  | "string"
  | "number"
  | "bigint"
  | "boolean"
  | "date"
  | "array"
  | "object"
  | "recursive"
  | "opaque"

const ofLiteral = (literal: SchemaAST.LiteralValue): EncodedKind =>
  literal === null ? "null" : (typeof literal as EncodedKind)

const ofDeclaration = (ast: SchemaAST.Declaration): EncodedKind => {
  const accepts = ParseResult.is(Schema.make<unknown, unknown>(ast))
  return accepts(new Date(0)) && !accepts({}) ? "date" : "opaque"
}

const byTag: { readonly [Tag in SchemaAST.AST["_tag"]]?: EncodedKind } = {
  StringKeyword: "string",
  TemplateLiteral: "string",
  NumberKeyword: "number",
  BigIntKeyword: "bigint",
  BooleanKeyword: "boolean",
  UndefinedKeyword: "undefined",
  VoidKeyword: "undefined",
  TupleType: "array",
  Suspend: "recursive"
}

/** Every kind of value that the stored side of a Schema allows. */
export const ofAst = (ast: SchemaAST.AST): ReadonlySet<EncodedKind> => {
  switch (ast._tag) {
    case "Refinement":
    case "Transformation":
      return ofAst(ast.from)
    case "Union":
      return new Set(ast.types.flatMap((type) => [...ofAst(type)]))
    case "Enums":
      return new Set(ast.enums.map(([, value]) => typeof value as EncodedKind))
    case "Literal":
      return new Set([ofLiteral(ast.literal)])
    case "Declaration":
      return new Set([ofDeclaration(ast)])
    case "TypeLiteral":
      return new Set(["object"])
    case "NeverKeyword":
      return new Set()
    default:
      return new Set([byTag[ast._tag] ?? "opaque"])
  }
}

/** The kind of a stored value. */
export const ofValue = (value: unknown): EncodedKind => {
  if (value === null) return "null"
  if (Array.isArray(value)) return "array"
  if (value instanceof Date) return "date"
  const type = typeof value
  return type === "symbol" || type === "function" ? "opaque" : type
}

const nullish: ReadonlySet<EncodedKind> = new Set(["null", "undefined"])
const scalar: ReadonlySet<EncodedKind> = new Set([
  ...nullish,
  "string",
  "number",
  "bigint",
  "boolean",
  "date"
])

/** Whether nothing but null and undefined is stored. */
export const isNullish = (kinds: ReadonlySet<EncodedKind>): boolean =>
  [...kinds].every((kind) => nullish.has(kind))

/** Whether only text, numbers, booleans, dates, null and undefined are stored. */
export const isScalar = (kinds: ReadonlySet<EncodedKind>): boolean =>
  [...kinds].every((kind) => scalar.has(kind))

/** Whether all that is stored is a single value of its own: a scalar or something that the Schema declares. */
export const isLeaf = (kinds: ReadonlySet<EncodedKind>): boolean =>
  [...kinds].every((kind) => scalar.has(kind) || kind === "opaque")

/** A type, and null or undefined where the given kinds hold them. */
export const withNullish = (type: SchemaAST.AST, kinds: ReadonlySet<EncodedKind>): SchemaAST.AST =>
  SchemaAST.Union.make([
    type,
    ...(kinds.has("null") ? [SchemaAST.null] : []),
    ...(kinds.has("undefined") ? [SchemaAST.undefinedKeyword] : [])
  ])
