import { Data } from "effect"

/**
 * Why Redis did not accept a write:
 * - `Exists`, `NotFound`: `create` of what is there, or a change of what is not;
 * - `VersionConflict`: the version last seen from MongoDB is not the expected one;
 * - `Changed`: the record is no longer what the write was made from; read it again;
 * - `TooLarge`: document or patch are over `maxBodyBytes`;
 * - `Full`: too many writes wait for MongoDB;
 * - `KeyReused`: the idempotency key belongs to another request.
 */
export type WriteRefusal =
  "Exists" | "NotFound" | "VersionConflict" | "Changed" | "TooLarge" | "Full" | "KeyReused"

export const writeRefusals: ReadonlySet<string> = new Set<WriteRefusal>([
  "Exists",
  "NotFound",
  "VersionConflict",
  "Changed",
  "TooLarge",
  "Full",
  "KeyReused"
])

/** A write was not accepted: nothing was changed and nothing recorded. */
export class WriteRefused extends Data.TaggedError("WriteRefused")<{ readonly reason: WriteRefusal }> {
  get retryable(): boolean {
    return this.reason === "Changed" || this.reason === "Full"
  }
  override get message() {
    return `the write was not accepted: ${this.reason}`
  }
}
