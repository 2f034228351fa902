import { type Clock, Effect } from "effect"

const nanosPerMilli = 1_000_000

/** Milliseconds of a clock that only ever goes forward, whatever happens to the time of day. Of no use outside this process. */
export const millisOf = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / nanosPerMilli

/** The same of the clock in the context. */
export const millis: Effect.Effect<number> = Effect.clockWith((clock) => Effect.sync(() => millisOf(clock)))
