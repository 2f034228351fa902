import type { SchemaAST } from "effect"
import { UnexpectedValue } from "./AnonymizeError.ts"

/**
 * One compiled place of a Schema. The functions are called with neither null nor undefined as the value to turn:
 * those stay what they are, and the place above sees to it.
 */
export interface FieldNode {
  /** The twin of a stored value. Throws `UnexpectedValue` for a shape that the Schema does not allow. */
  readonly anonymize: (value: unknown) => unknown
  /** The same for `next`, taking from the earlier twin what stands for an unchanged value. */
  readonly reanonymize: (previous: unknown, next: unknown, twin: unknown) => unknown
  /** The twin's own Schema of this place. */
  readonly twin: SchemaAST.AST
}

/** A field as reports and look-ups see it. */
export interface Leaf {
  readonly path: string
  readonly strategy: string
  readonly scope: string
  /** Characters of its pseudonym; 0 where there is none. */
  readonly length: number
  /** What a twin has in the place of a stored value; undefined: nothing that would tell values apart. */
  readonly twinOf: ((value: unknown) => unknown) | undefined
  /** Whether a stored value and a twin's value belong together. */
  readonly matches: (value: unknown, twin: unknown) => boolean
}

/** Whether a value is null or undefined. */
export const isNullish = (value: unknown): value is null | undefined => value === null || value === undefined

/** Whether a value can have fields. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const shapeOf = (value: unknown): string => {
  if (value === null) return "null"
  if (Array.isArray(value)) return "an array"
  if (value instanceof Date) return "a date"
  return typeof value
}

/** The error for a value of another shape than declared. */
export const unexpected = (path: string, expected: string, value: unknown): UnexpectedValue =>
  new UnexpectedValue({ path: path === "" ? "(document)" : path, expected, actual: shapeOf(value) })

/** `anonymize` for a value that may be null or undefined. */
export const anonymizeOptional = (node: FieldNode, value: unknown): unknown =>
  isNullish(value) ? value : node.anonymize(value)

/** `reanonymize` for a value that may be null or undefined. */
export const reanonymizeOptional = (
  node: FieldNode,
  previous: unknown,
  next: unknown,
  twin: unknown
): unknown => (isNullish(next) ? next : node.reanonymize(previous, next, twin))

/** Sets an own field, also one named `__proto__`, which plain assignment would take for the prototype. */
export const setOwn = (target: Record<string, unknown>, key: string, value: unknown): void => {
  if (key !== "__proto__") target[key] = value
  else Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true })
}

/** An own field or undefined; what stands on a prototype is no data. */
export const getOwn = (source: unknown, key: string): unknown =>
  isObject(source) && Object.hasOwn(source, key) ? source[key] : undefined
