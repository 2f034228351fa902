import { type Duration, Effect, Fiber, type Scope } from "effect"

/**
 * Runs effects whose callers need not wait for their interruption, which may take as long as a driver does. The end of
 * the scope waits for what was left behind: otherwise its connection would be closed under it, and a transaction
 * would keep its locks until the server's own time limit.
 */
export interface LeftBehind {
  readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** @param within how long the end of the scope waits */
export const make = (within: Duration.DurationInput): Effect.Effect<LeftBehind, never, Scope.Scope> =>
  Effect.gen(function* () {
    const underWay = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
    yield* Effect.addFinalizer(() =>
      Effect.interruptible(
        Effect.timeoutOption(
          Effect.suspend(() => Fiber.awaitAll(underWay)),
          within
        )
      )
    )
    const start = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.tap(Effect.forkDaemon(effect), (fiber) =>
        Effect.sync(() => {
          underWay.add(fiber)
          fiber.addObserver(() => underWay.delete(fiber))
        })
      )
    return {
      run: (effect) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(start(Effect.interruptible(effect)), (fiber) =>
            Effect.onInterrupt(restore(Fiber.join(fiber)), () => Fiber.interruptFork(fiber))
          )
        )
    }
  })
