import type { MongoError } from "@twinbox/mongodb"
import { Data, ParseResult } from "effect"

/** One thing wrong with a document: where, and what kind of fault. Values are left out. */
export interface DocumentIssue {
  /** For example `address.line1`; empty for the document itself. */
  readonly path: string
  readonly problem: string
}

const problems: Readonly<Record<string, string>> = {
  Missing: "is missing",
  Unexpected: "is not a field of the Schema",
  Forbidden: "is not allowed",
  Type: "has the wrong type",
  Refinement: "breaks a rule of the Schema",
  Transformation: "cannot be converted",
  Pointer: "is invalid",
  Composite: "is invalid"
}

/** The issues of a Schema error, without the values that the usual messages quote. */
export const issuesOf = (error: ParseResult.ParseIssue): ReadonlyArray<DocumentIssue> =>
  ParseResult.ArrayFormatter.formatIssueSync(error).map(({ _tag, path }) => ({
    path: path.map(String).join("."),
    problem: problems[_tag] ?? "is invalid"
  }))

/**
 * A document does not fit the Schema. `stored` tells whether it came out of the database (a foreign
 * program wrote it) or was to be written; then nothing was written. Not retryable.
 */
export class InvalidDocument extends Data.TaggedError("InvalidDocument")<{
  readonly collection: string
  readonly id: string | undefined
  readonly stored: boolean
  readonly issues: ReadonlyArray<DocumentIssue>
}> {
  readonly retryable = false
  override get message() {
    const issues = this.issues.map(({ path, problem }) => `${path || "the document"} ${problem}`).join("; ")
    return `${this.stored ? "stored document" : "document"} of '${this.collection}' refused: ${issues}`
  }
}

/** There is no document with this id. Not retryable; nothing was written. */
export class NotFound extends Data.TaggedError("NotFound")<{
  readonly collection: string
  readonly id: string
}> {
  readonly retryable = false
  override get message() {
    return `no document '${this.id}' in '${this.collection}'`
  }
}

/** The document has another version than the caller expected. Read it again, then decide. Nothing was written. */
export class VersionConflict extends Data.TaggedError("VersionConflict")<{
  readonly collection: string
  readonly id: string
  readonly expected: number
  readonly actual: number
}> {
  readonly retryable = false
  override get message() {
    return `'${this.id}' in '${this.collection}' has version ${this.actual}, not ${this.expected}`
  }
}

/** The secret differs from the one that made the twins under the same key version. Not retryable. */
export class KeyMismatch extends Data.TaggedError("KeyMismatch")<{ readonly keyVersion: number }> {
  readonly retryable = false
  override get message() {
    return `ANONYMIZE_SECRET is not the secret that this database knows as key version ${this.keyVersion}: use that secret, or give the new one a new version`
  }
}

/**
 * The key version is retired for this collection: no twin of it can be made any more. Not retryable by this instance;
 * nothing was written.
 */
export class KeyRetired extends Data.TaggedError("KeyRetired")<{
  readonly collection: string
  readonly keyVersion: number
}> {
  readonly retryable = false
  override get message() {
    return `key version ${this.keyVersion} is retired for '${this.collection}': give this instance the newest ANONYMIZE_SECRET and ANONYMIZE_KEY_VERSION`
  }
}

/** A key version that twins are still of cannot be retired. Retryable once they are made anew. */
export class KeyInUse extends Data.TaggedError("KeyInUse")<{
  readonly collection: string
  readonly keyVersion: number
  /** Twins of this version, of an earlier one, or of one that cannot be told. */
  readonly twins: number
}> {
  readonly retryable = false
  override get message() {
    return `key version ${this.keyVersion} is still in use: twins of '${this.collection}' under it or an earlier one: ${this.twins}; make them anew first, stop the instances that have that key, and mend originals that do not fit`
  }
}

/**
 * Why a key version is not retired:
 * - `Newest`: twins are made under it;
 * - `Unknown`: the database knows no such version;
 * - `Validator`: the twins' collection has a validator of the user's that does not refuse all that breaks it, and only one
 *   that does can keep twins of retired keys out; or somebody keeps replacing it.
 */
export class RetireRefused extends Data.TaggedError("RetireRefused")<{
  readonly collection: string
  readonly keyVersion: number
  readonly reason: "Newest" | "Unknown" | "Validator"
}> {
  readonly retryable = false
  override get message() {
    switch (this.reason) {
      case "Newest":
        return `key version ${this.keyVersion} is the newest and cannot be retired: twins are made under it`
      case "Unknown":
        return `there is no key version ${this.keyVersion}`
      case "Validator":
        return `the validator of '${this.collection}' must have validationLevel strict and validationAction error for a key to be retired: change or remove it`
    }
  }
}

/** Twins cannot be looked up by this field or value. Not retryable; nothing was read. */
export class NotSearchable extends Data.TaggedError("NotSearchable")<{
  readonly collection: string
  readonly issue: DocumentIssue
}> {
  readonly retryable = false
  override get message() {
    const { path, problem } = this.issue
    return `twins of '${this.collection}' cannot be looked up: ${path || "the condition"} ${problem}`
  }
}

/** As many messages wait in the outbox as its producer limit allows. Retryable, later; nothing was written. */
export class OutboxFull extends Data.TaggedError("OutboxFull")<{ readonly collection: string }> {
  readonly retryable = true
  override get message() {
    return `nothing was written to '${this.collection}': as many messages wait in the outbox as its limit allows`
  }
}

/** What a read can fail with. */
export type ReadError = InvalidDocument | MongoError.Unavailable | MongoError.Refused

/** What a write can fail with. */
export type WriteError =
  InvalidDocument | NotFound | VersionConflict | OutboxFull | KeyRetired | MongoError.MongoError

/** What is wrong with a key, so that nothing can be made with it. */
export type KeyError = KeyMismatch | KeyRetired
