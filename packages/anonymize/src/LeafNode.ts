import { timingSafeEqual } from "node:crypto"
import { isDeepStrictEqual } from "node:util"
import { Schema, type SchemaAST } from "effect"
import * as Base62 from "./Base62.ts"
import * as Email from "./Email.ts"
import * as EncodedKind from "./EncodedKind.ts"
import { anonymizeOptional, type FieldNode, isNullish, type Leaf, unexpected } from "./FieldNode.ts"
import type { FieldPath } from "./FieldPath.ts"
import type { HmacSha256 } from "./HmacSha256.ts"
import * as Pseudonym from "./Pseudonym.ts"
import * as ScalarText from "./ScalarText.ts"
import * as Sha256 from "./Sha256.ts"
import * as Strategy from "./Strategy.ts"

/** What stands for a redacted value. */
export const redacted = "[redacted]"

/** A compiled field and what reports and look-ups need to know of it. */
export interface LeafNode {
  readonly node: FieldNode
  readonly leaf: Leaf
}

interface Hashing {
  readonly hash: (text: string) => string
  /** Whether a value found in an earlier twin can stand for this text. */
  readonly isTwin: (twin: string, text: string) => boolean
  readonly twin: SchemaAST.AST
  /** Characters of the hashed part. */
  readonly length: number
}

const isHex = Schema.is(Sha256.Sha256Hex)
const isBase62 = Schema.is(Sha256.Sha256Base62)

const hashings: {
  readonly [Name in Exclude<Strategy.StrategyName, "keep" | "redact">]: (
    pseudonym: (text: string) => Pseudonym.Pseudonym,
    length: number
  ) => Hashing
} = {
  pseudonym: (pseudonym, length) => ({
    hash: pseudonym,
    isTwin: (twin) => twin.length === length && Base62.startsWithLetters(twin, length),
    twin: Pseudonym.ofLength(length).ast,
    length
  }),
  email: (pseudonym, length) => ({
    hash: Email.anonymize(pseudonym),
    isTwin: (twin, text) =>
      Base62.startsWithLetters(twin, length) && twin.slice(length) === `@${Email.split(text).domain}`,
    twin: Email.ofLength(length).ast,
    length
  }),
  sha256Hex: () => ({
    hash: Sha256.hex,
    isTwin: (twin) => isHex(twin),
    twin: Schema.typeSchema(Sha256.Sha256Hex).ast,
    length: 8
  }),
  sha256Base62: () => ({
    hash: Sha256.base62,
    isTwin: (twin) => isBase62(twin),
    twin: Schema.typeSchema(Sha256.Sha256Base62).ast,
    length: 8
  })
}

const equalInConstantTime = (left: string, right: string): boolean => {
  const [leftBytes, rightBytes] = [Buffer.from(left, "utf8"), Buffer.from(right, "utf8")]
  return leftBytes.length === rightBytes.length && timingSafeEqual(leftBytes, rightBytes)
}

const hashNode = (
  path: FieldPath,
  hashing: Hashing,
  kinds: ReadonlySet<EncodedKind.EncodedKind>
): FieldNode => {
  const { hash, isTwin } = hashing
  const textOf = (value: unknown): string => {
    const text = ScalarText.of(value)
    if (text === undefined) throw unexpected(path.text, "text, a number, a boolean or a date", value)
    return text
  }
  return {
    anonymize: (value) => hash(typeof value === "string" ? value : textOf(value)),
    reanonymize: (previous, next, twin) => {
      const text = textOf(next)
      const reusable = typeof twin === "string" && ScalarText.same(previous, next) && isTwin(twin, text)
      return reusable ? twin : hash(text)
    },
    twin: EncodedKind.withNullish(hashing.twin, kinds)
  }
}

const hashMatches =
  ({ hash, length }: Hashing) =>
  (value: unknown, twin: unknown): boolean => {
    if (isNullish(value)) return value === twin
    const text = ScalarText.of(value)
    if (text === undefined || typeof twin !== "string") return false
    const expected = hash(text)
    return equalInConstantTime(twin.includes("@") ? expected : expected.slice(0, length), twin)
  }

/** A field that is hashed, by whichever strategy. */
export const hashed = (
  path: FieldPath,
  strategy: Strategy.Strategy & { readonly name: keyof typeof hashings },
  hmac: HmacSha256,
  kinds: ReadonlySet<EncodedKind.EncodedKind>
): LeafNode => {
  const scope = strategy.scope ?? path.scope
  const length = Strategy.lengthOf(strategy)
  const hashing = hashings[strategy.name](Pseudonym.make(hmac, scope, length), length)
  const node = hashNode(path, hashing, kinds)
  return {
    node,
    leaf: {
      path: path.text,
      strategy: strategy.name,
      scope,
      length: hashing.length,
      twinOf: (value) => anonymizeOptional(node, value),
      matches: hashMatches(hashing)
    }
  }
}

const unhashed = { scope: "", length: 0 } as const

const keptNode = (path: FieldPath, node: FieldNode): LeafNode => ({
  node,
  leaf: {
    ...unhashed,
    path: path.text,
    strategy: "keep",
    twinOf: (value) => anonymizeOptional(node, value),
    matches: isDeepStrictEqual
  }
})

/** A field that is copied. A value of another kind than declared is refused: nothing says that it may be kept. */
export const kept = (
  path: FieldPath,
  ast: SchemaAST.AST,
  kinds: ReadonlySet<EncodedKind.EncodedKind>
): LeafNode => {
  const isDeclared = (value: unknown): boolean => kinds.has("opaque") || kinds.has(EncodedKind.ofValue(value))
  const anonymize = (value: unknown): unknown => {
    if (!isDeclared(value)) throw unexpected(path.text, [...kinds].join(" or "), value)
    return value
  }
  return keptNode(path, { anonymize, reanonymize: (_previous, next) => anonymize(next), twin: ast })
}

/** A field that has one value in all documents. Another one is refused, as nothing says that it may be kept. */
export const constant = (path: FieldPath, ast: SchemaAST.Literal): LeafNode => {
  const anonymize = (value: unknown): unknown => {
    if (value !== ast.literal) throw unexpected(path.text, "the constant of the Schema", value)
    return value
  }
  return keptNode(path, { anonymize, reanonymize: (_previous, next) => anonymize(next), twin: ast })
}

/** A field whose value is replaced by a fixed text. */
export const redact = (path: FieldPath, kinds: ReadonlySet<EncodedKind.EncodedKind>): LeafNode => ({
  node: {
    anonymize: () => redacted,
    reanonymize: () => redacted,
    twin: EncodedKind.withNullish(Schema.Literal(redacted).ast, kinds)
  },
  leaf: { ...unhashed, path: path.text, strategy: "redact", twinOf: undefined, matches: () => false }
})
