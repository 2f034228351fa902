import { Option, Predicate, SchemaAST } from "effect"
import * as Pseudonym from "./Pseudonym.ts"

/** What is done with the value of a field. */
export type StrategyName = "pseudonym" | "email" | "keep" | "redact" | "sha256Hex" | "sha256Base62"

/** The annotation on a Schema that names its strategy; at the type level it carries the strategy's name. */
export const StrategyTypeId: unique symbol = Symbol.for("@twinbox/anonymize/Strategy")
export type StrategyTypeId = typeof StrategyTypeId

/** The annotation on a Record that declares its keys free of personal data. */
export const KeepKeysTypeId: unique symbol = Symbol.for("@twinbox/anonymize/KeepKeys")
export type KeepKeysTypeId = typeof KeepKeysTypeId

/** Choices of a field with the strategy `pseudonym` or `email`. */
export interface PseudonymOptions {
  /**
   * Fields with the same scope give the same pseudonym to the same value. Default: the field's own path, where the
   * items of an array share the path of the array. Well-formed text without NUL.
   */
  readonly scope?: string
  /** Characters of the pseudonym, 4 to 22; default 8. */
  readonly length?: number
}

/** A strategy with its options, as it stands in the annotation. */
export interface Strategy extends PseudonymOptions {
  readonly name: StrategyName
}

/** The strategy that stands on this node of a Schema itself. */
export const of = (ast: SchemaAST.AST): Strategy | undefined =>
  Option.getOrUndefined(SchemaAST.getAnnotation<Strategy>(ast, StrategyTypeId))

/** Whether this Record's keys are declared free of personal data. */
export const keepsKeys = (ast: SchemaAST.AST): boolean =>
  Option.contains(SchemaAST.getAnnotation<boolean>(ast, KeepKeysTypeId), true)

/** Whether two annotations say the same. */
export const same = (left: Strategy, right: Strategy): boolean =>
  left.name === right.name && left.scope === right.scope && lengthOf(left) === lengthOf(right)

/** Characters of the pseudonyms of a strategy. */
export const lengthOf = (strategy: Strategy): number => strategy.length ?? Pseudonym.defaultLength

const isScope = (scope: unknown): boolean =>
  Predicate.isString(scope) && scope !== "" && !/[\0\p{Cs}]/u.test(scope)

/** Whether the options of a strategy are within their bounds. */
export const isValid = (strategy: Strategy): boolean => {
  const length = lengthOf(strategy)
  const inBounds = length >= Pseudonym.minLength && length <= Pseudonym.maxLength
  return Number.isInteger(length) && inBounds && (strategy.scope === undefined || isScope(strategy.scope))
}
