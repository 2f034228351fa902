import { Data } from "effect"

/** The servers this package knows how to provide, and Debezium, which a bench starts by its means. */
export type ServiceName = "MongoDB" | "Redis" | "Kafka" | "Debezium"

/**
 * Why a server could not be provided or controlled:
 *
 * - `InvalidUri` what the environment gives is not a connection string of this kind
 * - `NotFound` no URI, no program on the machine, and no download fits this machine
 * - `DownloadFailed` a download fits, but did not succeed
 * - `DidNotStart` the program was there, but no server answered in time
 * - `Unreachable` the server of the environment's URI does not answer
 * - `NotReplicaSet` that MongoDB answers, but has no (initiated) replica set
 * - `AuthenticationFailed` the server refuses the credentials, or asks for some
 * - `NotOwned` stop, start or kill was asked of a server that this package did not start
 * - `InUse` a folder cannot be cleared or changed while an app is running on it
 * - `StopFailed` a server or its files could not be stopped or removed
 */
export type ServiceErrorReason =
  | "InvalidUri"
  | "NotFound"
  | "DownloadFailed"
  | "DidNotStart"
  | "Unreachable"
  | "NotReplicaSet"
  | "AuthenticationFailed"
  | "NotOwned"
  | "InUse"
  | "StopFailed"

/**
 * A server could not be provided. `message` is one sentence for people that says what to install or set;
 * it never holds the credentials of a URI. `retryable` is true when waiting may help.
 */
export class ServiceError extends Data.TaggedError("ServiceError")<{
  readonly service: ServiceName
  readonly reason: ServiceErrorReason
  readonly message: string
  readonly retryable: boolean
  readonly cause?: unknown
}> {}
