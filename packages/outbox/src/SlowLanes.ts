import { Duration, Effect } from "effect"
import type { RelayLane } from "./RelayLane.ts"

/** How often the lanes are looked at while the relay's memory is full. */
const sampleEvery = Duration.millis(50)

/** So many more samples with a lane that has nothing to do than without: for half a second of them somebody was too slow. */
const enough = 10

/**
 * Finds lanes whose sinks are so much slower than others that these have nothing to do, since the relay's memory is
 * full of messages that the slow ones have not taken. A little slower is no reason: falling behind costs writes.
 */
export class SlowLanes {
  #starving = 0

  /** Looks at the lanes once. Returns those that keep the others waiting, when that has lasted for too long. */
  sample(lanes: ReadonlyArray<RelayLane>): ReadonlyArray<RelayLane> {
    const slow = lanes.filter((lane) => lane.hasTooMany())
    const isStarving = slow.length > 0 && lanes.some((lane) => lane.isIdle())
    this.#starving = Math.max(0, this.#starving + (isStarving ? 1 : -1))
    if (this.#starving < enough) return []
    this.#starving = 0
    return slow
  }

  /** Lets slow lanes fall behind for as long as it runs. */
  readonly relieve = (lanes: ReadonlyArray<RelayLane>): Effect.Effect<never> =>
    Effect.sleep(sampleEvery).pipe(
      Effect.flatMap(() => Effect.forEach(this.sample(lanes), (lane) => lane.fallBehind, { discard: true })),
      Effect.forever
    )
}
