import { Data } from "effect"

/**
 * A message that does not fit its topic or is out of bounds. `issues` name fields and what is wrong
 * with them, never values. Not retryable: the writer has to change what it sends.
 */
export class InvalidMessage extends Data.TaggedError("InvalidMessage")<{
  readonly topic: string
  readonly key: string
  readonly issues: ReadonlyArray<string>
}> {
  readonly retryable = false
  override get message() {
    return `message for topic '${this.topic}' refused: ${this.issues.join("; ")}`
  }
}

/**
 * Why an outbox store could not do what it was asked:
 * - `Unavailable`: the database did not answer; try again.
 * - `FeedLost`: the live feed of inserts ended; open a new one and catch up from the collection.
 * - `ReadLost`: a cursor ended before its time; read again.
 * - `StaleLease`: another owner has the slot by now, or the relay was expelled; nothing was written.
 * - `DuplicateSequence`: a message with this place exists already.
 * - `TooLarge`: the message or the transaction is over the database's limits.
 * - `WrongTransaction`: the transaction belongs to another store.
 * - `Full`: as many messages wait as the producer limit allows; nothing was written. Try again later.
 * - `Refused`: the database refused the operation for another reason; see `cause`.
 */
export type OutboxErrorReason =
  | "Unavailable"
  | "FeedLost"
  | "ReadLost"
  | "StaleLease"
  | "DuplicateSequence"
  | "TooLarge"
  | "WrongTransaction"
  | "Full"
  | "Refused"

const retryableReasons: ReadonlySet<OutboxErrorReason> = new Set([
  "Unavailable",
  "FeedLost",
  "ReadLost",
  "Full"
])

/** An operation of the outbox store failed. `retryable` tells whether the same call may succeed later. */
export class OutboxError extends Data.TaggedError("OutboxError")<{
  readonly reason: OutboxErrorReason
  readonly operation: string
  readonly cause?: unknown
}> {
  get retryable(): boolean {
    return retryableReasons.has(this.reason)
  }
  override get message() {
    return `outbox ${this.operation}: ${this.reason}`
  }
}
