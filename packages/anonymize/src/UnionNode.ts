import { Option, type SchemaAST } from "effect"
import * as EncodedKind from "./EncodedKind.ts"
import { type FieldNode, getOwn, unexpected } from "./FieldNode.ts"

/** One member of a union that is neither null nor undefined. */
export interface UnionMember {
  readonly ast: SchemaAST.AST
  readonly node: FieldNode
}

type Select = (value: unknown) => FieldNode | undefined

const literalsOf = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.LiteralValue> | undefined => {
  if (ast._tag === "Literal") return [ast.literal]
  if (ast._tag !== "Union") return undefined
  const lists = ast.types.map(literalsOf)
  return lists.every((list) => list !== undefined) ? lists.flat() : undefined
}

const structOf = (ast: SchemaAST.AST): SchemaAST.TypeLiteral | undefined => {
  if (ast._tag === "Refinement" || ast._tag === "Transformation") return structOf(ast.from)
  return ast._tag === "TypeLiteral" ? ast : undefined
}

const signatureLiterals = (ast: SchemaAST.AST, key: PropertyKey) => {
  const signature = structOf(ast)?.propertySignatures.find(({ name }) => name === key)
  return signature === undefined || signature.isOptional ? undefined : literalsOf(signature.type)
}

const tableFor = (
  members: ReadonlyArray<UnionMember>,
  key: PropertyKey
): ReadonlyMap<unknown, FieldNode> | undefined => {
  const table = new Map<unknown, FieldNode>()
  for (const { ast, node } of members) {
    const literals = signatureLiterals(ast, key)
    if (literals === undefined || literals.some((literal) => table.has(literal))) return undefined
    for (const literal of literals) table.set(literal, node)
  }
  return table
}

/** A required field that no other member can have. */
const fieldOfItsOwn = (member: UnionMember, members: ReadonlyArray<UnionMember>): string | undefined => {
  const others = members.flatMap((other) => (other === member ? [] : [structOf(other.ast)]))
  if (others.some((other) => other === undefined || other.indexSignatures.length > 0)) return undefined
  const taken = new Set(others.flatMap((other) => other?.propertySignatures.map(({ name }) => name) ?? []))
  const own = structOf(member.ast)?.propertySignatures.find(
    ({ isOptional, name, type }) =>
      !isOptional && typeof name === "string" && !taken.has(name) && !canBeUndefined(type)
  )
  return own === undefined ? undefined : String(own.name)
}

const canBeUndefined = (ast: SchemaAST.AST): boolean => EncodedKind.ofAst(ast).has("undefined")

/** By which field is there; of a value that has the fields of several members, the first member. */
const selectByPresence = (members: ReadonlyArray<UnionMember>): Option.Option<Select> => {
  const marks = members.map((member) => ({ node: member.node, field: fieldOfItsOwn(member, members) }))
  if (marks.some(({ field }) => field === undefined)) return Option.none()
  return Option.some((value) => marks.find(({ field = "" }) => getOwn(value, field) !== undefined)?.node)
}

/** Structs are told apart by a required field that has literals of its own in each of them, or that is in one alone. */
const selectStruct = (members: ReadonlyArray<UnionMember>): Option.Option<Select> => {
  const [first] = members
  if (first !== undefined && members.length === 1) return Option.some(() => first.node)
  const keys = (first && structOf(first.ast)?.propertySignatures.map(({ name }) => name)) ?? []
  for (const key of keys) {
    const table = typeof key === "string" ? tableFor(members, key) : undefined
    if (table !== undefined) return Option.some((value) => table.get(getOwn(value, String(key))))
  }
  return selectByPresence(members)
}

const groupByKind = (members: ReadonlyArray<UnionMember>) => {
  const groups = new Map<EncodedKind.EncodedKind, Array<UnionMember>>()
  for (const member of members) {
    for (const kind of EncodedKind.ofAst(member.ast)) {
      groups.set(kind, [...(groups.get(kind) ?? []), member])
    }
  }
  return groups
}

const selector = (members: ReadonlyArray<UnionMember>): Option.Option<Select> => {
  const selects = new Map<EncodedKind.EncodedKind, Select>()
  for (const [kind, group] of groupByKind(members)) {
    const select = selectStruct(group)
    if (kind === "opaque" || Option.isNone(select)) return Option.none()
    selects.set(kind, select.value)
  }
  return Option.some((value) => selects.get(EncodedKind.ofValue(value))?.(value))
}

/** A union whose members a stored value tells apart: by its kind, structs by a discriminating field; else none. */
export const make = (
  path: string,
  members: ReadonlyArray<UnionMember>,
  twin: SchemaAST.AST
): Option.Option<FieldNode> =>
  Option.map(selector(members), (select) => {
    const requireNode = (value: unknown): FieldNode => {
      const node = select(value)
      if (node === undefined) throw unexpected(path, "a member of the union", value)
      return node
    }
    return {
      anonymize: (value) => requireNode(value).anonymize(value),
      reanonymize: (previous, next, earlier) => {
        const node = requireNode(next)
        return select(previous) === node ? node.reanonymize(previous, next, earlier) : node.anonymize(next)
      },
      twin
    }
  })
