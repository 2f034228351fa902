import { Duration, Effect } from "effect"
import * as MonotonicClock from "./MonotonicClock.ts"
import { SinkError } from "./Sink.ts"

/** Keeps an eye on how long calls take. One of it serves a lane for all its calls, which come one after another. */
export interface CallWatch {
  readonly timed: <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Fails once a call has taken too long. */
  readonly expired: Effect.Effect<never, SinkError>
}

/**
 * A time limit of its own on each call would fork two fibers and start a timer: more work than all the rest of a
 * message's way. This one sleeps until the call under way could have taken too long, and looks again.
 */
export const make = (sink: string, limit: Duration.DurationInput): CallWatch => {
  const limitMillis = Duration.toMillis(limit)
  let startedMillis: number | undefined
  const look = (now: number): Effect.Effect<never, SinkError> => {
    const left = startedMillis === undefined ? limitMillis : startedMillis + limitMillis - now
    return left <= 0
      ? Effect.fail(new SinkError({ sink, reason: "Timeout" }))
      : // Whole milliseconds: a rest smaller than what the clock can tell would be slept for ever.
        Effect.zipRight(
          Effect.sleep(Duration.millis(Math.ceil(left))),
          Effect.flatMap(MonotonicClock.millis, look)
        )
  }
  return {
    timed: (call) =>
      Effect.ensuring(
        Effect.clockWith((clock) => {
          startedMillis = MonotonicClock.millisOf(clock)
          return call
        }),
        Effect.sync(() => {
          startedMillis = undefined
        })
      ),
    expired: Effect.flatMap(MonotonicClock.millis, look)
  }
}
