import { OutboxError } from "@twinbox/outbox"
import { Effect } from "effect"
import * as MongoError from "./MongoError.ts"

const reasonOf = (error: MongoError.MongoError): OutboxError.OutboxErrorReason => {
  switch (error._tag) {
    case "DuplicateKey":
      return "DuplicateSequence"
    case "TransactionTooLarge":
      return "TooLarge"
    case "Unavailable":
    case "WriteContention":
    case "CommitUnknown":
      return "Unavailable"
    case "Refused":
      return "Refused"
  }
}

/** The error as the outbox's ports know it. */
export const toOutboxError =
  (operation: string) =>
  (error: MongoError.MongoError | OutboxError.OutboxError): OutboxError.OutboxError =>
    error._tag === "OutboxError"
      ? error
      : new OutboxError.OutboxError({ reason: reasonOf(error), operation, cause: error })

/** One call of the driver, outside transactions. */
export const attempt = <A>(
  operation: string,
  call: () => Promise<A>
): Effect.Effect<A, OutboxError.OutboxError> =>
  Effect.tryPromise({ try: call, catch: (error) => toOutboxError(operation)(MongoError.fromDriver(error)) })

/** The relay was expelled, or another one has the slot. */
export const stale = (operation: string) => new OutboxError.OutboxError({ reason: "StaleLease", operation })
