import { Cause, Effect, Either, Exit } from "effect"
import type { WriteError } from "../RepositoryError.ts"
import { type BatchError, forCaller } from "../WriteBatch.ts"
import * as WriteGroup from "../WriteGroup.ts"
import type { Planned, Write } from "../WritePlan.ts"

/** What became of each write, in their order. */
export type Exits = ReadonlyArray<Exit.Exit<Planned, WriteError>>

const forEach = (writes: ReadonlyArray<Write>, exit: Exit.Exit<never, WriteError>): Exits =>
  writes.map(() => exit)

/**
 * Makes writes of different ids, all in one transaction if that can be. What one write fails with is its own; when it
 * cannot be told whose fault it is, each half is run by itself. `GroupCommit` is for writes that arrive one by one: a
 * fiber for each of thousands would cost more than to write them.
 */
export const make = (run: WriteGroup.RunBatch): ((writes: ReadonlyArray<Write>) => Effect.Effect<Exits>) => {
  const runAll = (writes: ReadonlyArray<Write>): Effect.Effect<Exits> =>
    writes.length === 0
      ? Effect.succeed([])
      : Effect.flatMap(Effect.exit(run(writes)), (exit) =>
          Exit.isSuccess(exit) ? Effect.succeed(exit.value) : runWithout(writes, exit.cause)
        )

  const runHalves = (writes: ReadonlyArray<Write>): Effect.Effect<Exits> => {
    const middle = Math.ceil(writes.length / 2)
    return Effect.zipWith(runAll(writes.slice(0, middle)), runAll(writes.slice(middle)), (left, right) => [
      ...left,
      ...right
    ])
  }

  const runWithout = (writes: ReadonlyArray<Write>, cause: Cause.Cause<BatchError>): Effect.Effect<Exits> => {
    const failure = Cause.failureOrCause(cause)
    const blame = Either.match(failure, { onLeft: WriteGroup.blame, onRight: () => "one" as const })
    const exit = Either.match(failure, {
      onLeft: (error) => Exit.fail(forCaller(error)),
      onRight: (defect) => Exit.failCause(defect)
    })
    if (typeof blame === "number") {
      return Effect.map(runAll(writes.toSpliced(blame, 1)), (others) => others.toSpliced(blame, 0, exit))
    }
    return blame === "one" && writes.length > 1 ? runHalves(writes) : Effect.succeed(forEach(writes, exit))
  }

  return runAll
}
