import { Schema } from "effect"
import {
  KeepKeysTypeId,
  type PseudonymOptions,
  type Strategy,
  type StrategyName,
  StrategyTypeId
} from "./Strategy.ts"

/** A Schema whose type carries the privacy strategy that stands on it. */
export type Annotated<S extends Schema.Schema.All, Name extends StrategyName> = ReturnType<
  S["annotations"]
> & {
  readonly [StrategyTypeId]: Name
}

/** A Schema of a Record whose keys are declared free of personal data. */
export type KeysKept<S extends Schema.Schema.All> = ReturnType<S["annotations"]> & {
  readonly [KeepKeysTypeId]: true
}

/** Puts a strategy on a Schema; given options instead, gives a function that does. */
export type AnnotateWithOptions<Name extends StrategyName> = <
  const Target extends Schema.Schema.All | PseudonymOptions
>(
  target: Target
) => Target extends Schema.Schema.All
  ? Annotated<Target, Name>
  : <S extends Schema.Schema.All>(schema: S) => Annotated<S, Name>

const put = (schema: Schema.Schema.All, strategy: Strategy): Schema.Schema.All =>
  schema.annotations({ [StrategyTypeId]: strategy })

const requireSchema = (target: unknown): void => {
  // A PropertySignature is no Schema: the annotation would be lost without a word.
  if (Schema.isPropertySignature(target)) {
    throw new TypeError("annotate the Schema inside Schema.optional, not the optional field itself")
  }
}

const withOptions = <Name extends StrategyName>(name: Name): AnnotateWithOptions<Name> =>
  ((target: Schema.Schema.All | PseudonymOptions) => {
    requireSchema(target)
    if (Schema.isSchema(target)) return put(target, { name })
    return (schema: Schema.Schema.All) => put(schema, { ...target, name })
  }) as AnnotateWithOptions<Name>

const plain =
  <Name extends StrategyName>(name: Name) =>
  <S extends Schema.Schema.All>(schema: S): Annotated<S, Name> => {
    requireSchema(schema)
    return put(schema, { name }) as Annotated<S, Name>
  }

/**
 * Replaces text, a number, a boolean or a date by a pseudonym: keyed, so that only who has the secret can match it.
 * Use it bare (`Schema.String.pipe(Anonymize.pseudonym)`) or with options (`Anonymize.pseudonym({ scope: "name" })`).
 * `null` and `undefined` stay; empty text gets a pseudonym like any other value.
 */
export const pseudonym = withOptions("pseudonym")

/**
 * Replaces the part of an e-mail address before the last `@` by a pseudonym; the domain stays. What is no address is
 * hashed as a whole and gets the domain `invalid`. Takes the options of `pseudonym`.
 */
export const email = withOptions("email")

/** Copies the value as it is. On a struct or array it covers everything that the Schema declares inside. */
export const keep = plain("keep")

/** Replaces the value, however deep, by the text `[redacted]`; `null` and `undefined` stay. */
export const redact = plain("redact")

/**
 * Replaces the value by the first 8 hexadecimal characters of its SHA-256. Weak: without a secret anyone can hash a
 * list of names and look them up. Only to match data of older systems.
 */
export const sha256Hex = plain("sha256Hex")

/** Replaces the value by 8 characters `[0-9A-Za-z]` of its SHA-256. As weak as `sha256Hex`, for the same use only. */
export const sha256Base62 = plain("sha256Base62")

/** Declares the keys of a Record free of personal data: they are copied, its values follow their own annotation. */
export const keepKeys = <S extends Schema.Schema.All>(schema: S): KeysKept<S> =>
  schema.annotations({ [KeepKeysTypeId]: true }) as KeysKept<S>
