import { Data } from "effect"
import type { OutboxError } from "@twinbox/outbox"

/** The command line asks for something that makes no sense or is missing something. `message` says what to do. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

/** The command could not do what it was asked. `message` says what to do. */
export class Failed extends Data.TaggedError("Failed")<{ readonly message: string }> {}

/** Work in batches ended early: somebody stopped it (no cause), or a batch failed. What was done stays done. */
export class Unfinished extends Data.TaggedError("Unfinished")<{
  /** How far it came: `1,500 dead letters`. */
  readonly progress: string
  readonly cause: OutboxError.OutboxError | undefined
}> {}

/** No sink has this name. */
export const unknownSink = (name: string): Failed =>
  new Failed({ message: `there is no sink '${name}'; 'twinbox sinks' lists those there are` })
