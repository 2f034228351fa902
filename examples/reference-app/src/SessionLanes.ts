import { Effect } from "effect"

interface Lane {
  readonly gate: Effect.Semaphore
  users: number
}

/** Keeps what sockets of the same session do at once in one order. */
export class SessionLanes {
  readonly #lanes = new Map<string, Lane>()

  /** Sessions that something is done for. */
  get size(): number {
    return this.#lanes.size
  }

  /** Runs an effect after all others of its session that were given before. */
  inTurn<A, E, R>(sessionId: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => this.#enter(sessionId)),
      ({ gate }) => gate.withPermits(1)(effect),
      (lane) => Effect.sync(() => this.#leave(sessionId, lane))
    )
  }

  #enter(sessionId: string): Lane {
    const lane = this.#lanes.get(sessionId) ?? { gate: Effect.unsafeMakeSemaphore(1), users: 0 }
    lane.users += 1
    this.#lanes.set(sessionId, lane)
    return lane
  }

  #leave(sessionId: string, lane: Lane): void {
    lane.users -= 1
    if (lane.users === 0) this.#lanes.delete(sessionId)
  }
}
