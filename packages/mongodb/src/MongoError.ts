import { Data } from "effect"
import {
  MongoBulkWriteError,
  MongoError as DriverError,
  MongoInvalidArgumentError,
  MongoNetworkError,
  MongoServerError,
  MongoServerSelectionError
} from "mongodb"

/**
 * A unique index refused the write. Not retryable. `fields` are the names of the index's fields; the
 * values, which may be personal data, are left out. `position` is the place of the refused document in
 * a write of several.
 */
export class DuplicateKey extends Data.TaggedError("DuplicateKey")<{
  readonly collection: string
  readonly fields: ReadonlyArray<string>
  readonly position: number
}> {
  readonly retryable = false
  override get message() {
    return `a document with the same ${this.fields.join(", ")} exists already in '${this.collection}'`
  }
}

/** Other writers kept changing the same documents until the attempts were used up. Retryable: nothing was written. */
export class WriteContention extends Data.TaggedError("WriteContention")<{ readonly attempts: number }> {
  readonly retryable = true
  override get message() {
    return `gave up after ${this.attempts} attempts: other writers keep changing the same documents`
  }
}

/**
 * The server did not say whether the transaction committed. Not retryable blindly: read before you
 * write again.
 */
export class CommitUnknown extends Data.TaggedError("CommitUnknown")<{ readonly cause: unknown }> {
  readonly retryable = false
  override get message() {
    return "it is not known whether the transaction committed: read the documents before writing them again"
  }
}

/** A document is over 16 MB, or a transaction over the limits. Not retryable: nothing was written. */
export class TransactionTooLarge extends Data.TaggedError("TransactionTooLarge")<{
  readonly detail: string
}> {
  readonly retryable = false
  override get message() {
    return `too large for one transaction: ${this.detail}`
  }
}

/** MongoDB did not answer, or has no primary just now. Retryable: nothing was written. */
export class Unavailable extends Data.TaggedError("Unavailable")<{ readonly cause: unknown }> {
  readonly retryable = true
  override get message() {
    return "MongoDB is not available: no primary answered"
  }
}

/** The server is a single one without a replica set, and so has no transactions. */
export class NotReplicaSet extends Data.TaggedError("NotReplicaSet")<{ readonly server: string }> {
  readonly retryable = false
  override get message() {
    return `MongoDB at ${this.server} is not a replica set, and transactions need one: start mongod with --replSet rs0 and run rs.initiate() once`
  }
}

/** The server refused the user or password of the URI. */
export class AuthenticationFailed extends Data.TaggedError("AuthenticationFailed")<{
  readonly server: string
}> {
  readonly retryable = false
  override get message() {
    return `MongoDB at ${this.server} refused the credentials: check user, password and authSource in MONGODB_URI`
  }
}

/** MongoDB refused the operation for another reason. `code` is the server's error code, if it gave one. */
export class Refused extends Data.TaggedError("Refused")<{
  readonly code: number | undefined
  readonly codeName: string | undefined
  readonly cause: unknown
}> {
  readonly retryable = false
  override get message() {
    return `MongoDB refused the operation: ${this.codeName ?? this.code ?? "see the cause"}`
  }
}

/** What an operation on MongoDB can fail with. */
export type MongoError =
  DuplicateKey | WriteContention | CommitUnknown | TransactionTooLarge | Unavailable | Refused

/** Server error codes: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml */
const code = {
  authenticationFailed: 18,
  writeConflict: 112,
  transactionTooLarge: 257,
  bsonObjectTooLarge: 10334,
  duplicateKey: 11000,
  interrupted: 11601
} as const

/**
 * Codes of a server that is no primary any more, not yet one, or about to stop.
 * https://github.com/mongodb/specifications/blob/master/source/server-discovery-and-monitoring/server-discovery-and-monitoring.md#not-writable-primary-and-node-is-recovering
 */
const stateChanges: ReadonlySet<unknown> = new Set([91, 189, 10058, 10107, 11600, 11602, 13435, 13436])

const labels = {
  transient: "TransientTransactionError",
  unknownCommit: "UnknownTransactionCommitResult"
} as const

const hasLabel = (error: unknown, label: string): boolean =>
  error instanceof DriverError && error.hasErrorLabel(label)

/** Whether the whole transaction may be run again. */
export const isTransient = (error: unknown): boolean => hasLabel(error, labels.transient)

const isInterrupted = (error: unknown): boolean =>
  error instanceof MongoServerError && error.code === code.interrupted

/** Whether only the commit may be sent again. Somebody who ends the session may meet it before it took effect, or after. */
export const isUnknownCommit = (error: unknown): boolean =>
  hasLabel(error, labels.unknownCommit) || isInterrupted(error)

/** Whether two writers met at one document. */
export const isWriteConflict = (error: unknown): boolean =>
  error instanceof MongoServerError && error.code === code.writeConflict

export const isAuthenticationFailure = (error: unknown): boolean =>
  error instanceof MongoServerError && error.code === code.authenticationFailed

const isUnreachable = (error: unknown): boolean =>
  error instanceof MongoNetworkError ||
  error instanceof MongoServerSelectionError ||
  isInterrupted(error) ||
  (error instanceof MongoServerError && stateChanges.has(error.code)) ||
  (error instanceof DriverError && (error.hasErrorLabel("RetryableWriteError") || isTransient(error)))

/** Documents that cannot be encoded: over 16 MB, or past the driver's buffers. */
const isTooLarge = (error: unknown): boolean =>
  (error instanceof MongoServerError &&
    (error.code === code.transactionTooLarge || error.code === code.bsonObjectTooLarge)) ||
  (error instanceof MongoInvalidArgumentError && /larger|too large|exceed/i.test(error.message)) ||
  (error instanceof RangeError && "code" in error && error.code === "ERR_OUT_OF_RANGE") ||
  (error instanceof DriverError && /Document is larger than the maximum size/i.test(error.message))

const duplicateKey = (error: MongoServerError): DuplicateKey => {
  const first = error instanceof MongoBulkWriteError ? [error.writeErrors].flat()[0] : undefined
  const raw = first?.err ?? error
  const text = String(first?.errmsg ?? error.errmsg ?? "")
  const pattern: unknown = ("keyPattern" in raw && raw.keyPattern) || error["keyPattern"]
  const named = typeof pattern === "object" && pattern !== null ? Object.keys(pattern) : []
  // The message is "E11000 duplicate key error collection: db.name index: name_1 dup key: { ... }".
  const collection = /collection: [^.\s]+\.(\S+)/.exec(text)?.[1] ?? "unknown"
  const index = /index: (\S+)/.exec(text)?.[1] ?? "_id"
  return new DuplicateKey({
    collection,
    fields: named.length > 0 ? named : [index.replace(/_-?1(?=_|$)/g, "").replace(/^_id_$/, "_id")],
    position: first?.index ?? 0
  })
}

/** Turns what the driver threw into a typed error. Values of documents never get into it as text. */
export const fromDriver = (error: unknown): MongoError => {
  if (error instanceof MongoServerError && error.code === code.duplicateKey) return duplicateKey(error)
  if (isTooLarge(error))
    return new TransactionTooLarge({ detail: "a document or the transaction is over MongoDB's limit" })
  if (isUnreachable(error)) return new Unavailable({ cause: withoutValues(error) })
  const server = error instanceof MongoServerError ? error : undefined
  const number = typeof server?.code === "number" ? server.code : undefined
  return new Refused({ code: number, codeName: server?.codeName, cause: withoutValues(error) })
}

/** Server messages can quote documents: only what kind of error it was is kept. */
const withoutValues = (error: unknown): unknown => {
  if (!(error instanceof Error)) return typeof error
  const { codeName, name } = error as Error & { readonly codeName?: string }
  return {
    name,
    ...(codeName === undefined ? {} : { codeName }),
    ...(error instanceof MongoServerError ? {} : { message: error.message })
  }
}
