import { type Duration, Effect, Ref, Schedule } from "effect"
import type { Report } from "./Report.ts"
import type { ServiceError } from "./ServiceError.ts"

/** Between two attempts to reach a server of the environment. */
const pause = "500 millis"

/** A line every so many failed attempts. */
const reportEvery = 6

/** Tries a server of the environment until it answers, saying that it waits; gives up after `limit`. */
export const awaitUri = <A>(
  check: Effect.Effect<A, ServiceError>,
  options: { readonly waiting: string; readonly limit: Duration.DurationInput; readonly report: Report }
): Effect.Effect<A, ServiceError> =>
  Effect.gen(function* () {
    const failures = yield* Ref.make(0)
    const sayThatWeWait = Effect.flatMap(
      Ref.getAndUpdate(failures, (count) => count + 1),
      (count) => (count % reportEvery === 0 ? options.report(options.waiting) : Effect.void)
    )
    return yield* check.pipe(
      Effect.tapError((error) => (error.retryable ? sayThatWeWait : Effect.void)),
      Effect.retry({
        schedule: Schedule.spaced(pause).pipe(Schedule.upTo(options.limit)),
        while: (error) => error.retryable
      })
    )
  })
