import { Context, Deferred, Effect, Layer } from "effect"

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/** npm passes on a Ctrl-C that the terminal has sent to us already: so soon, it is still the same one. */
const sameSignalMillis = 300

/** After this a stop is given up. What was not delivered stays in the outbox, and servers are found again. */
const stopWithinMillis = 4_700

/** What a shell reports for a program that Ctrl-C has ended. */
const exitCodeInterrupted = 130

/** Waits for the wish that the program stops: Ctrl-C, SIGTERM, or a terminal that was closed. */
export class StopSignal extends Context.Tag("@twinbox/reference-app/StopSignal")<
  StopSignal,
  {
    readonly received: Effect.Effect<void>
    /** Waits for the same, but for ever once somebody has taken over. */
    readonly receivedEarly: Effect.Effect<void>
    /** From now on the caller sees to a stop; before, the start is simply interrupted. */
    readonly takeOver: Effect.Effect<void>
  }
>() {}

const giveUp = (): void => {
  process.stderr.write(
    "reference-app: could not stop in time; nothing is lost, the next run goes on from here\n"
  )
  process.exit(1)
}

const listen = (onFirst: () => void): (() => void) => {
  let firstAt: number | undefined
  const stop = (): void => {
    const now = performance.now()
    if (firstAt === undefined) {
      firstAt = now
      setTimeout(giveUp, stopWithinMillis).unref()
      onFirst()
    } else if (now - firstAt > sameSignalMillis) process.exit(exitCodeInterrupted)
  }
  for (const signal of signals) process.on(signal, stop)
  // Whoever read our output has gone (`| head`): there is nobody to go on for.
  process.stdout.on("error", stop)
  return () => {
    for (const signal of signals) process.off(signal, stop)
    process.stdout.off("error", stop)
  }
}

/** The signals of this process. A second Ctrl-C ends it at once. */
export const layer: Layer.Layer<StopSignal> = Layer.scoped(
  StopSignal,
  Effect.gen(function* () {
    const stop = yield* Deferred.make<void>()
    yield* Effect.acquireRelease(
      Effect.sync(() => listen(() => Deferred.unsafeDone(stop, Effect.void))),
      (forget) => Effect.sync(forget)
    )
    let isTakenOver = false
    const received = Deferred.await(stop)
    const unlessTakenOver = Effect.suspend(() => (isTakenOver ? Effect.never : Effect.void))
    return {
      received,
      receivedEarly: Effect.zipRight(received, unlessTakenOver),
      takeOver: Effect.sync(() => {
        isTakenOver = true
      })
    }
  })
)
