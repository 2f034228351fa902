import { Cause, Duration, Effect } from "effect"

/** Ends the bench with a word on what it was waiting for, where it would wait for ever. */
export const within =
  (limit: Duration.DurationInput, what: string) =>
  <A, E, R>(wait: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.timeoutFailCause(wait, {
      duration: limit,
      onTimeout: () => Cause.die(new Error(`waited for ${Duration.format(limit)} until ${what}`))
    })
