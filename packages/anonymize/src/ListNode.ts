import { SchemaAST } from "effect"
import { anonymizeOptional, type FieldNode, reanonymizeOptional, unexpected } from "./FieldNode.ts"

/** The compiled places of an array or tuple: `elements` first, then any number of `rest`, then `tail`. */
export interface ListParts {
  readonly elements: ReadonlyArray<FieldNode>
  readonly rest: FieldNode | undefined
  readonly tail: ReadonlyArray<FieldNode>
}

const nodeAt = (
  { elements, rest, tail }: ListParts,
  index: number,
  length: number
): FieldNode | undefined => {
  if (index < elements.length) return elements[index]
  const fromEnd = length - index
  return fromEnd <= tail.length ? tail[tail.length - fromEnd] : rest
}

const twinOf = (ast: SchemaAST.TupleType, { elements, rest, tail }: ListParts): SchemaAST.AST => {
  const restNodes = rest === undefined ? [] : [rest, ...tail]
  return new SchemaAST.TupleType(
    elements.map(
      (node, index) => new SchemaAST.OptionalType(node.twin, ast.elements[index]?.isOptional ?? false)
    ),
    restNodes.map((node) => new SchemaAST.Type(node.twin)),
    ast.isReadonly
  )
}

/** An array or a tuple. Items beyond those of a closed tuple are not declared and stay behind. */
export const make = (path: string, ast: SchemaAST.TupleType, parts: ListParts): FieldNode => {
  const requireArray = (value: unknown): ReadonlyArray<unknown> => {
    if (!Array.isArray(value)) throw unexpected(path, "an array", value)
    return value
  }
  const anonymize = (value: unknown): ReadonlyArray<unknown> => {
    const items = requireArray(value)
    const twins: Array<unknown> = []
    for (let index = 0; index < items.length; index++) {
      const node = nodeAt(parts, index, items.length)
      if (node !== undefined) twins.push(anonymizeOptional(node, items[index]))
    }
    return twins
  }
  const reanonymize = (previous: unknown, next: unknown, twin: unknown): ReadonlyArray<unknown> => {
    if (!Array.isArray(previous) || !Array.isArray(twin)) return anonymize(next)
    const items = requireArray(next)
    const twins: Array<unknown> = []
    for (let index = 0; index < items.length; index++) {
      const node = nodeAt(parts, index, items.length)
      if (node === undefined) continue
      const isSamePlace = nodeAt(parts, index, previous.length) === node
      const before: unknown = isSamePlace ? previous[index] : undefined
      twins.push(reanonymizeOptional(node, before, items[index], twin[index]))
    }
    return twins
  }
  return { anonymize, reanonymize, twin: twinOf(ast, parts) }
}
