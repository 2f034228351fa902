import type { MongoError } from "@twinbox/mongodb"
import type { MirrorBuild } from "@twinbox/outbox"
import { Data } from "effect"
import type { OutboxFull } from "../RepositoryError.ts"

/**
 * Another instance works by newer rules, and the two would undo each other's work:
 * - `NewerKey`: the database knows a newer key version than this instance has;
 * - `OtherRules`: a reindex under way was begun under another key version or other privacy rules.
 *
 * Not retryable: update this instance.
 */
export class SyncSuperseded extends Data.TaggedError("SyncSuperseded")<{
  readonly collection: string
  readonly reason: "NewerKey" | "OtherRules"
}> {
  readonly retryable = false
  override get message() {
    return this.reason === "NewerKey"
      ? `the sync of '${this.collection}' has an older ANONYMIZE_SECRET than the newest that this database knows: give it the newest`
      : `a reindex of '${this.collection}' is under way by another Schema or key version: stop the instances that have the older one, or let them finish`
  }
}

/** What sync can fail with. What is of one document alone is reported and does not fail it. */
export type SyncError = MongoError.MongoError | OutboxFull | SyncSuperseded | MirrorBuild.BuildError
