import { Clock, Duration, Effect } from "effect"

interface Sleeper {
  readonly wakeAt: number
  readonly wake: () => void
}

/** Fibers that need no clock get this many turns before time moves on. */
const turns = 100

/**
 * A clock that stands still until it is advanced, for programs that wait for nothing but the clock and one
 * another. Sleepers wake one by one in the order of their times, and what one of them sets off comes to rest
 * before the next wakes: a run depends on its seed only. Much faster than `TestClock`, which also waits for
 * fibers that wait for the outside world.
 */
export class VirtualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  readonly currentTimeMillis = Effect.sync(() => this.#now)
  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())
  readonly #sleepers = new Set<Sleeper>()
  #now: number

  constructor(startMillis = 0) {
    this.#now = startMillis
  }

  unsafeCurrentTimeMillis(): number {
    return this.#now
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(Math.round(this.#now * 1_000_000))
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async((resume) => {
      const sleeper = {
        wakeAt: this.#now + Duration.toMillis(duration),
        wake: () => resume(Effect.void)
      }
      this.#sleepers.add(sleeper)
      return Effect.sync(() => void this.#sleepers.delete(sleeper))
    })
  }

  /** Moves time on, waking all who sleep until then. */
  advance(duration: Duration.DurationInput): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      const end = this.#now + Duration.toMillis(duration)
      yield* settle
      for (let next = this.#earliest(end); next !== undefined; next = this.#earliest(end)) {
        this.#sleepers.delete(next)
        this.#now = Math.max(this.#now, next.wakeAt)
        next.wake()
        yield* settle
      }
      this.#now = end
    })
  }

  /** The first of those who sleep until then at the latest; of two with one time, the one who lay down first. */
  #earliest(end: number): Sleeper | undefined {
    let earliest: Sleeper | undefined
    for (const sleeper of this.#sleepers) {
      if (sleeper.wakeAt <= end && sleeper.wakeAt < (earliest?.wakeAt ?? Infinity)) earliest = sleeper
    }
    return earliest
  }
}

/** Lets everything run that needs no clock. */
export const settle: Effect.Effect<void> = Effect.repeatN(Effect.yieldNow(), turns)
