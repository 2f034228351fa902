import type { AnonymizerError, SecretError } from "@twinbox/anonymize"
import { type MongoDatabase, MongoError } from "@twinbox/mongodb"
import type { OutboxError } from "@twinbox/outbox"
import type { RedisError } from "@twinbox/redis"
import type { KeyError, KeyInUse, RetireRefused, TwinSync } from "@twinbox/repository"
import type { Failed, Unfinished, UsageError } from "./CommandError.ts"

/** What a command can fail with. */
export type CommandError =
  | Failed
  | UsageError
  | Unfinished
  | OutboxError.OutboxError
  | MongoDatabase.ConnectError
  | MongoError.MongoError
  | AnonymizerError
  | SecretError
  | KeyError
  | KeyInUse
  | RetireRefused
  | TwinSync.SyncError
  | RedisError.RedisError

/** The server's code for an operation that the user may not do. */
const unauthorized = 13

const again = "run the same command again"

const ofRefusal = (cause: unknown): string => {
  if (!(cause instanceof MongoError.Refused)) return "MongoDB refused the operation"
  return cause.code === unauthorized
    ? "the user of the connection string may not do this: give it the role readWrite on the database"
    : cause.message
}

const ofOutboxError = (error: OutboxError.OutboxError): string => {
  switch (error.reason) {
    case "Unavailable":
      return `MongoDB did not answer: ${again}`
    case "Refused":
      return ofRefusal(error.cause)
    default:
      return error.message
  }
}

const ofUnfinished = ({ cause, progress }: Unfinished): string =>
  cause === undefined
    ? `stopped after ${progress}: ${again} to go on`
    : `${ofOutboxError(cause)} (${progress} done before)`

/** What went wrong, in one sentence that says what to do. */
export const of = (error: CommandError): string => {
  switch (error._tag) {
    case "OutboxError":
      return ofOutboxError(error)
    case "Unfinished":
      return ofUnfinished(error)
    case "Unavailable":
      return `${error.message}; check --uri or MONGODB_URI, and whether the server runs`
    case "Refused":
      return ofRefusal(error)
    case "SecretError":
      return `ANONYMIZE_SECRET: ${error.message}`
    default:
      return error.message
  }
}
