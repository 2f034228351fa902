import type { RedisError } from "@twinbox/redis"
import { Data } from "effect"
import type { EndState } from "./ExportState.ts"

/**
 * Why an export is `FAILED`, as it stands in its metadata:
 * - `SourceFailed`: the source gave an error;
 * - `Unencodable`: a record has no text in the chosen format;
 * - `TooLarge`: it would have grown over the limit;
 * - `TooSlow`: more live records waited for it than the limit allows;
 * - `RedisFull`: Redis is at its `maxmemory`;
 * - `RedisLost`: Redis was away for too long;
 * - `RedisRefused`: Redis refused to do it;
 * - `DataLost`: Redis came back without what it had confirmed, or somebody deleted data;
 * - `ShutDown`: its process was stopped in an orderly way;
 * - `ProcessEnded`: its process ended, or was silent for longer than the heartbeat limit.
 */
export const failureReasons = [
  "SourceFailed",
  "Unencodable",
  "TooLarge",
  "TooSlow",
  "RedisFull",
  "RedisLost",
  "RedisRefused",
  "DataLost",
  "ShutDown",
  "ProcessEnded"
] as const

export type FailureReason = (typeof failureReasons)[number]

/**
 * Why a call was refused:
 * - `Forbidden`: the user lacks the permission that `detail` names;
 * - `NotFound`: there is no such export, or no longer, or it is somebody else's;
 * - `InvalidOptions`: `detail` says what is wrong with them;
 * - `TooManyExports`: as many run as may; `detail` says whose limit it is;
 * - `AlreadyEnded`: the export has ended before, with `state`;
 * - `NotLive`: only live exports can be finished, the others end by themselves;
 * - `RangeNotSatisfiable`: the range begins behind the end of the data;
 * - `Incomplete`: the export that is being read ended with `state`; all it has was read;
 * - `RedisFull`: Redis is at its `maxmemory`;
 * - `Unavailable`: Redis does not answer, or cannot serve just now;
 * - `Refused`: Redis refused to do it.
 */
export type ExportErrorReason =
  | "Forbidden"
  | "NotFound"
  | "InvalidOptions"
  | "TooManyExports"
  | "AlreadyEnded"
  | "NotLive"
  | "RangeNotSatisfiable"
  | "Incomplete"
  | "RedisFull"
  | "Unavailable"
  | "Refused"

const retryableReasons: ReadonlySet<ExportErrorReason> = new Set([
  "TooManyExports",
  "RedisFull",
  "Unavailable"
])

/** A call was refused. `retryable` tells whether the same call may succeed later. No value of a record is in it. */
export class ExportError extends Data.TaggedError("ExportError")<{
  readonly reason: ExportErrorReason
  readonly detail?: string
  /** With `AlreadyEnded` and `Incomplete`. */
  readonly state?: EndState
  /** With `RangeNotSatisfiable`: how many bytes there are. */
  readonly bytes?: number
}> {
  get retryable(): boolean {
    return retryableReasons.has(this.reason)
  }
  override get message() {
    const more = [this.state, this.detail].filter((part) => part !== undefined).join(", ")
    return more === "" ? `export: ${this.reason}` : `export: ${this.reason} (${more})`
  }
}

/** What an error of Redis means to somebody who asks for something. */
export const fromRedis = (error: RedisError.RedisError): ExportError => {
  if (error.reason === "OutOfMemory") return new ExportError({ reason: "RedisFull" })
  return new ExportError({ reason: error.retryable ? "Unavailable" : "Refused", detail: error.message })
}

/** What an error of Redis, when waiting did not help, means to an export. */
export const failureOf = (error: RedisError.RedisError): FailureReason => {
  if (error.reason === "OutOfMemory") return "RedisFull"
  return error.retryable ? "RedisLost" : "RedisRefused"
}
