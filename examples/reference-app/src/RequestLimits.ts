import { Context, Duration, Effect, Layer, Option } from "effect"
import { Problem } from "./Problem.ts"

export interface Options {
  /** Requests under way at once, at most. Default 256. */
  readonly concurrency?: number
  /** Time limit of one request. Default 10 seconds. */
  readonly within?: Duration.DurationInput
}

/** Keeps requests within bounds. */
export class RequestLimits extends Context.Tag("@twinbox/reference-app/RequestLimits")<
  RequestLimits,
  {
    /**
     * Runs the work of a request. Who runs out of time, or goes away, does not wait for what cannot be interrupted:
     * that goes on, and counts as under way until it has ended.
     */
    readonly run: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Problem, R>
    /** Turns away all that come from now on. */
    readonly close: Effect.Effect<void>
  }
>() {}

const defaults = { concurrency: 256, within: Duration.seconds(10) }

const busy = new Problem({ kind: "busy", detail: "Nothing was done: come again later." })

const timedOut = new Problem({
  kind: "timed-out",
  detail:
    "A write may have been made, or may still be: read before you write again. An Idempotency-Key makes it safe to repeat a POST."
})

const stopping = new Problem({ kind: "unavailable", detail: "Nothing was done: the program is stopping." })

const make = (given: Options) =>
  Effect.map(Effect.makeSemaphore(given.concurrency ?? defaults.concurrency), (places) => {
    let isClosed = false
    const bounded = <A, E, R>(work: Effect.Effect<A, E, R>) =>
      places
        .withPermitsIfAvailable(1)(work)
        .pipe(
          Effect.disconnect,
          Effect.timeoutFail({ duration: given.within ?? defaults.within, onTimeout: () => timedOut }),
          Effect.flatMap(Option.match({ onNone: () => busy, onSome: Effect.succeed }))
        )
    return RequestLimits.of({
      run: (work) => Effect.suspend(() => (isClosed ? stopping : bounded(work))),
      close: Effect.sync(() => {
        isClosed = true
      })
    })
  })

export const layer = (options: Options = {}): Layer.Layer<RequestLimits> =>
  Layer.effect(RequestLimits, make(options))
