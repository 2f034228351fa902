import type { Effect } from "effect"
import type * as GroupCommit from "./GroupCommit.ts"
import type { WriteError } from "./RepositoryError.ts"
import { type BatchError, forCaller, RefusedWrite, type Results } from "./WriteBatch.ts"
import type { Planned, Write } from "./WritePlan.ts"

/** Runs writes of different ids in one transaction of its own. */
export type RunBatch = (writes: ReadonlyArray<Write>) => Effect.Effect<Results, BatchError>

/** On whom a failed group is: none of those of one write leaves anything written. */
export const blame = (error: BatchError): GroupCommit.Blame => {
  if (error instanceof RefusedWrite) return error.position
  const isOfOne =
    error._tag === "TransactionTooLarge" ||
    error._tag === "WriteContention" ||
    error._tag === "Refused" ||
    error._tag === "DuplicateKey"
  return isOfOne ? "one" : "nobody"
}

export const idOf = ({ intent }: Write): string => intent.id

/** How a repository's writes share transactions. */
export const make = (run: RunBatch): GroupCommit.Definition<Write, Planned, WriteError, BatchError> => ({
  idOf,
  run,
  blame,
  forCaller
})
