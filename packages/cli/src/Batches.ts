import type { OutboxError } from "@twinbox/outbox"
import { Cause, Effect, Option } from "effect"
import { Unfinished } from "./CommandError.ts"
import * as Count from "./Count.ts"
import { Screen } from "./Screen.ts"
import { StopSignal } from "./StopSignal.ts"

/** Is told, between two batches, how many are done. */
type Progress = (done: number) => Effect.Effect<void>

/**
 * Runs work that goes on in batches, each whole by itself. A terminal sees how far it is; when somebody asks for a
 * stop, the batch under way is the last one. `doing` is for the live line (`requeueing`), `thing` is what is counted.
 */
export const run = <A>(
  { doing, thing }: { readonly doing: string; readonly thing: string },
  work: (progress: Progress) => Effect.Effect<A, OutboxError.OutboxError>
): Effect.Effect<A, Unfinished, Screen | StopSignal> =>
  Effect.gen(function* () {
    const screen = yield* Screen
    const stop = yield* StopSignal
    let done = 0
    const progress: Progress = (count) =>
      Effect.gen(function* () {
        done = count
        yield* screen.live(`${doing}: ${Count.of(done, thing)} so far; Ctrl-C stops after this batch`)
        // Here nothing is half done, so here the work ends itself.
        if (yield* stop.isAsked) yield* Effect.interrupt
      })
    const unfinished = (cause: OutboxError.OutboxError | undefined) =>
      new Unfinished({ progress: Count.of(done, thing), cause })
    yield* stop.attend
    return yield* work(progress).pipe(
      Effect.mapError(unfinished),
      Effect.catchSomeCause((cause) =>
        Cause.isInterruptedOnly(cause) ? Option.some(Effect.fail(unfinished(undefined))) : Option.none()
      ),
      Effect.ensuring(screen.live(undefined))
    )
  }).pipe(Effect.scoped)
