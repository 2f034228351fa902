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
export type WriteError = InvalidDocument | NotFound | VersionConflict | OutboxFull | MongoError.MongoError
