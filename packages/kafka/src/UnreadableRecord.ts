import { Data } from "effect"

/**
 * Why a record cannot be read, however often one tries:
 * - `BadHeader`: a header that a message needs is missing or malformed;
 * - `BadKey`: it has no key of the form `stream/id`;
 * - `UnknownVersion`: its payload has a newer version than this consumer knows, or an older one without a way up;
 * - `BadPayload`: its payload is no JSON, fails in an upcast, or does not fit the topic's Schema.
 */
export type UnreadableReason = "BadHeader" | "BadKey" | "UnknownVersion" | "BadPayload"

/**
 * A record that cannot be read. `issues` name headers and fields and what is wrong with them, never values. Not
 * retryable: the record goes to the dead letter topic.
 */
export class UnreadableRecord extends Data.TaggedError("UnreadableRecord")<{
  readonly reason: UnreadableReason
  readonly issues: ReadonlyArray<string>
}> {
  readonly retryable = false
  override get message() {
    return `record cannot be read: ${this.reason}: ${this.issues.join("; ")}`
  }
}
