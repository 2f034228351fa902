import { Data } from "effect"

/**
 * Why an inbox could not do what it was asked:
 * - `Unavailable`: the database did not answer, or another consumer got in the way; try again.
 * - `WrongTransaction`: the transaction belongs to another adapter.
 * - `TooLarge`: the transaction is over the database's limits.
 * - `Refused`: the database refused the operation for another reason; see `cause`.
 */
export type InboxErrorReason = "Unavailable" | "WrongTransaction" | "TooLarge" | "Refused"

/** An operation of the inbox failed. `retryable` tells whether the same call may succeed later. */
export class InboxError extends Data.TaggedError("InboxError")<{
  readonly reason: InboxErrorReason
  readonly operation: string
  readonly cause?: unknown
}> {
  get retryable(): boolean {
    return this.reason === "Unavailable"
  }
  override get message() {
    return `inbox ${this.operation}: ${this.reason}`
  }
}
