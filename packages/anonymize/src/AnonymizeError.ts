import { Data } from "effect"

/**
 * Why a secret was refused:
 * - `Missing`: there is none, or it is blank.
 * - `TooShort`: it decodes to fewer than 16 bytes (128 bits).
 * - `Malformed`: it is neither hexadecimal, base64 nor base64url.
 * - `Weak`: long enough, but its bytes follow an obvious pattern.
 * - `Version`: the key version is not a whole number from 1 to 2147483647.
 * - `HalfGiven`: of an earlier key there is only the secret or only the version.
 * - `Order`: the versions of earlier keys are not all different and lower than that of the newest.
 * - `Same`: two versions of a key have the same secret.
 */
export type SecretErrorReason =
  "Missing" | "TooShort" | "Malformed" | "Weak" | "Version" | "HalfGiven" | "Order" | "Same"

const secretProblems: Record<SecretErrorReason, string> = {
  Missing: "there is no anonymization secret",
  TooShort: "the anonymization secret is shorter than 128 bits (16 bytes)",
  Malformed: "the anonymization secret is neither hexadecimal nor base64 text",
  Weak: "the anonymization secret follows an obvious pattern",
  Version: "the version of the anonymization key is not a whole number from 1 to 2147483647",
  HalfGiven:
    "only one of ANONYMIZE_PREVIOUS_SECRET and ANONYMIZE_PREVIOUS_KEY_VERSION is there: set both or none",
  Order:
    "the version of a previous anonymization key is not lower than that of the newest, or there twice: number each secret once, the newest highest",
  Same: "two versions of the anonymization key have the same secret: make another one for the newer version"
}

/** Those that are about the text of a secret. */
const isOfText: ReadonlySet<SecretErrorReason> = new Set(["Missing", "TooShort", "Malformed", "Weak"])

/** The secret (or its version) cannot make a key. The message says what to do and never shows the secret. */
export class SecretError extends Data.TaggedError("SecretError")<{ readonly reason: SecretErrorReason }> {
  readonly retryable = false
  override get message() {
    const problem = secretProblems[this.reason]
    return isOfText.has(this.reason)
      ? `${problem}: make one with \`openssl rand -hex 32\` and keep it`
      : problem
  }
}

/** Fields of a Schema that say nothing about privacy. `paths` lists every one of them, e.g. `address.line2`. */
export class UnannotatedField extends Data.TaggedError("UnannotatedField")<{
  readonly paths: readonly [string, ...Array<string>]
}> {
  readonly retryable = false
  override get message() {
    return `no privacy annotation (such as Anonymize.pseudonym or Anonymize.keep) on: ${this.paths.join(", ")}`
  }
}

/**
 * Why a Schema cannot be compiled:
 * - `NotADocument`: the whole Schema is not a struct, a class or a union of them.
 * - `NotScalar`: a hashing strategy stands on something else than text, numbers, booleans and dates.
 * - `RecordKeys`: a Record's keys could be personal data and nothing says that they are not.
 * - `AmbiguousUnion`: nothing tells which member of a union a stored value belongs to.
 * - `Recursive`: the Schema contains itself.
 * - `Conflict`: one annotation stands inside another that says something else.
 * - `Options`: a scope is empty or not text, or a length is not a whole number from 4 to 22.
 * - `SymbolKey`: a field is named by a symbol, which no database stores.
 */
export type UnsupportedReason =
  | "NotADocument"
  | "NotScalar"
  | "RecordKeys"
  | "AmbiguousUnion"
  | "Recursive"
  | "Conflict"
  | "Options"
  | "SymbolKey"

/** One place of a Schema that cannot be compiled, and what to do about it. */
export interface UnsupportedPlace {
  readonly path: string
  readonly reason: UnsupportedReason
  readonly advice: string
}

/** A Schema, fully annotated, has shapes that cannot be anonymized. `places` lists every one of them. */
export class UnsupportedSchema extends Data.TaggedError("UnsupportedSchema")<{
  readonly places: readonly [UnsupportedPlace, ...Array<UnsupportedPlace>]
}> {
  readonly retryable = false
  override get message() {
    return this.places.map((place) => `${place.path}: ${place.reason}, ${place.advice}`).join("; ")
  }
}

/** A stored value has another shape than its Schema says. Names the field and the shapes, never the value. */
export class UnexpectedValue extends Data.TaggedError("UnexpectedValue")<{
  readonly path: string
  readonly expected: string
  readonly actual: string
}> {
  readonly retryable = false
  override get message() {
    return `${this.path}: expected ${this.expected}, found ${this.actual}`
  }
}

/** Twins are to be looked up by a field of which they show nothing: it is redacted. */
export class RedactedField extends Data.TaggedError("RedactedField")<{ readonly path: string }> {
  readonly retryable = false
  override get message() {
    return `the field '${this.path}' is redacted: twins cannot be looked up by it`
  }
}

/** A path that is no field of the Schema was asked about. `known` lists those that are. */
export class UnknownField extends Data.TaggedError("UnknownField")<{
  readonly path: string
  readonly known: ReadonlyArray<string>
}> {
  readonly retryable = false
  override get message() {
    return `no field '${this.path}'; the fields are ${this.known.join(", ")}`
  }
}
