import { ParseResult, Schema, SchemaAST } from "effect"
import {
  anonymizeOptional,
  type FieldNode,
  getOwn,
  isObject,
  reanonymizeOptional,
  setOwn,
  unexpected
} from "./FieldNode.ts"

/** A declared field of a struct. */
export interface StructField {
  readonly signature: SchemaAST.PropertySignature
  readonly name: string
  readonly node: FieldNode
}

/** The values of a Record, and which of its keys they belong to. */
export interface RecordValues {
  readonly signature: SchemaAST.IndexSignature
  readonly node: FieldNode
}

type NodeOfKey = (key: string) => FieldNode | undefined

const nodeOfKey = (fields: ReadonlyArray<StructField>, records: ReadonlyArray<RecordValues>): NodeOfKey => {
  const declared = new Set(fields.map((field) => field.name))
  const candidates = records.map(({ signature, node }) => ({
    accepts: ParseResult.is(Schema.make<unknown, unknown>(SchemaAST.encodedBoundAST(signature.parameter))),
    node
  }))
  return (key) => (declared.has(key) ? undefined : candidates.find(({ accepts }) => accepts(key))?.node)
}

const twinOf = (fields: ReadonlyArray<StructField>, records: ReadonlyArray<RecordValues>): SchemaAST.AST =>
  new SchemaAST.TypeLiteral(
    fields.map(
      ({ signature, node }) =>
        new SchemaAST.PropertySignature(signature.name, node.twin, signature.isOptional, signature.isReadonly)
    ),
    records.map(
      ({ signature, node }) =>
        new SchemaAST.IndexSignature(signature.parameter, node.twin, signature.isReadonly)
    )
  )

type Step = (twin: Record<string, unknown>, value: Record<string, unknown>) => void

// Only own declared fields are read and only they are written: whatever else a document holds stays behind.
const fieldStep =
  ({ name, node }: StructField): Step =>
  (twin, value) => {
    if (Object.hasOwn(value, name)) setOwn(twin, name, anonymizeOptional(node, value[name]))
  }

const recordStep =
  (nodeOf: NodeOfKey): Step =>
  (twin, value) => {
    for (const key of Object.keys(value)) {
      const node = nodeOf(key)
      if (node !== undefined) setOwn(twin, key, anonymizeOptional(node, value[key]))
    }
  }

type ReStep = (
  result: Record<string, unknown>,
  previous: Record<string, unknown>,
  next: Record<string, unknown>,
  twin: Record<string, unknown>
) => void

const reanonymizeOwn = (
  node: FieldNode,
  name: string,
  ...[result, previous, next, twin]: Parameters<ReStep>
) => setOwn(result, name, reanonymizeOptional(node, getOwn(previous, name), next[name], getOwn(twin, name)))

const fieldReStep =
  ({ name, node }: StructField): ReStep =>
  (result, previous, next, twin) => {
    if (Object.hasOwn(next, name)) reanonymizeOwn(node, name, result, previous, next, twin)
  }

const recordReStep =
  (nodeOf: NodeOfKey): ReStep =>
  (result, previous, next, twin) => {
    for (const key of Object.keys(next)) {
      const node = nodeOf(key)
      if (node !== undefined) reanonymizeOwn(node, key, result, previous, next, twin)
    }
  }

/** A struct, a Record, or both in one. */
export const make = (
  path: string,
  fields: ReadonlyArray<StructField>,
  records: ReadonlyArray<RecordValues>
): FieldNode => {
  const nodeOf = nodeOfKey(fields, records)
  const steps = [...fields.map(fieldStep), ...(records.length > 0 ? [recordStep(nodeOf)] : [])]
  const reSteps = [...fields.map(fieldReStep), ...(records.length > 0 ? [recordReStep(nodeOf)] : [])]
  const anonymize = (value: unknown): unknown => {
    if (!isObject(value)) throw unexpected(path, "an object", value)
    const twin: Record<string, unknown> = {}
    for (const step of steps) step(twin, value)
    return twin
  }
  return {
    anonymize,
    reanonymize: (previous, next, twin) => {
      if (!isObject(next) || !isObject(previous) || !isObject(twin)) return anonymize(next)
      const result: Record<string, unknown> = {}
      for (const step of reSteps) step(result, previous, next, twin)
      return result
    },
    twin: twinOf(fields, records)
  }
}
