import { Effect } from "effect"

interface Line {
  readonly turn: Effect.Semaphore
  users: number
}

/**
 * Lets the writers of one id of this process take turns. Without it, 64 of them would keep aborting one
 * another's transactions; with it each commits at its first attempt.
 */
export class KeyQueue {
  readonly #lines = new Map<string, Line>()

  /** How many ids somebody is using or waiting for. */
  get size(): number {
    return this.#lines.size
  }

  /** Runs an effect when those before it under the same id have ended. */
  inTurn<A, E, R>(id: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        const line = this.#lines.get(id) ?? { turn: Effect.unsafeMakeSemaphore(1), users: 0 }
        line.users += 1
        this.#lines.set(id, line)
        return line
      }),
      (line) => line.turn.withPermits(1)(effect),
      (line) =>
        Effect.sync(() => {
          line.users -= 1
          if (line.users === 0) this.#lines.delete(id)
        })
    )
  }
}
