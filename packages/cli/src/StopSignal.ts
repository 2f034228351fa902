import { Context, Deferred, Effect, Layer, type Scope } from "effect"

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/** npm passes on a Ctrl-C that the terminal has sent to us already: so soon, it is still the same one. */
const sameSignalMillis = 300

/** What a shell reports for a program that Ctrl-C has ended. */
const exitCodeInterrupted = 130

/** Tells that somebody wants the command to stop: Ctrl-C, SIGTERM, or a terminal that was closed. */
export class StopSignal extends Context.Tag("@twinbox/cli/StopSignal")<
  StopSignal,
  {
    readonly isAsked: Effect.Effect<boolean>
    /** Waits for it. */
    readonly asked: Effect.Effect<void>
    /** Waits for it, but for ever while somebody sees to the stop himself. */
    readonly unattended: Effect.Effect<void>
    /** Until the end of the scope the caller sees to a stop. */
    readonly attend: Effect.Effect<void, never, Scope.Scope>
  }
>() {}

/** A second signal ends the process at once. */
const listen = (onFirst: () => void): (() => void) => {
  let firstAt: number | undefined
  const stop = (): void => {
    const now = performance.now()
    if (firstAt === undefined) {
      firstAt = now
      onFirst()
    } else if (now - firstAt > sameSignalMillis) process.exit(exitCodeInterrupted)
  }
  for (const signal of signals) process.on(signal, stop)
  return () => {
    for (const signal of signals) process.off(signal, stop)
  }
}

/** Tells it when `asked` is done. */
export const make = (asked: Deferred.Deferred<void>): Context.Tag.Service<StopSignal> => {
  let isAttended = false
  return {
    isAsked: Deferred.isDone(asked),
    asked: Deferred.await(asked),
    unattended: Effect.zipRight(
      Deferred.await(asked),
      Effect.suspend(() => (isAttended ? Effect.never : Effect.void))
    ),
    attend: Effect.acquireRelease(
      Effect.sync(() => {
        isAttended = true
      }),
      () =>
        Effect.sync(() => {
          isAttended = false
        })
    )
  }
}

/** The signals of this process. */
export const layer: Layer.Layer<StopSignal> = Layer.scoped(
  StopSignal,
  Effect.gen(function* () {
    const asked = yield* Deferred.make<void>()
    yield* Effect.acquireRelease(
      Effect.sync(() => listen(() => Deferred.unsafeDone(asked, Effect.void))),
      (forget) => Effect.sync(forget)
    )
    return make(asked)
  })
)
