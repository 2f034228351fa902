import { MongoError } from "@twinbox/mongodb"
import { OutboxError } from "@twinbox/outbox"
import { Cause, Option } from "effect"
import { Unfinished } from "./CommandError.ts"

/** The server's code for an operation that the user may not do. */
const unauthorized = 13

const again = "run the same command again"

const refusal = (cause: unknown): string => {
  if (!(cause instanceof MongoError.Refused)) return "MongoDB refused the operation"
  return cause.code === unauthorized
    ? "the user of the connection string may not do this: give it the role readWrite on the database"
    : cause.message
}

const outboxSentence = (error: OutboxError.OutboxError): string => {
  switch (error.reason) {
    case "Unavailable":
      return `MongoDB did not answer: ${again}`
    case "Refused":
      return refusal(error.cause)
    default:
      return error.message
  }
}

const unfinishedSentence = ({ cause, progress }: Unfinished): string =>
  cause === undefined
    ? `stopped after ${progress}: ${again} to go on`
    : `${outboxSentence(cause)} (${progress} done before)`

const hasMessage = (error: unknown): error is { readonly message: string } =>
  typeof error === "object" && error !== null && "message" in error && typeof error.message === "string"

const failureSentence = (error: unknown): string => {
  if (error instanceof Unfinished) return unfinishedSentence(error)
  if (error instanceof OutboxError.OutboxError) return outboxSentence(error)
  if (error instanceof MongoError.Unavailable) {
    return `${error.message}; check --uri or MONGODB_URI, and whether the server runs`
  }
  if (error instanceof MongoError.Refused) return refusal(error)
  return hasMessage(error) && error.message !== "" ? error.message : "unknown error"
}

/** A defect may quote anything, so only its kind is told. */
const defectSentence = (cause: Cause.Cause<unknown>): string => {
  const [defect] = Cause.defects(cause)
  return `the command has a fault (${defect instanceof Error ? defect.name : "unknown error"}): please report it`
}

/** What went wrong, in one sentence that says what to do. */
export const ofCause = (cause: Cause.Cause<unknown>): string =>
  Option.match(Cause.failureOption(cause), {
    onSome: failureSentence,
    onNone: () => (Cause.isInterruptedOnly(cause) ? "stopped: nothing was changed" : defectSentence(cause))
  })
