import { MonotonicClock } from "@twinbox/outbox"
import { Effect } from "effect"

/** Slows work down to a rate. */
export interface Throttle {
  /** Waits until so much may be done again. */
  readonly take: (amount: number) => Effect.Effect<void>
}

const unlimited: Throttle = { take: () => Effect.void }

/** @param perSecond undefined: no limit */
export const make = (perSecond: number | undefined): Throttle => {
  if (perSecond === undefined) return unlimited
  let freeAtMillis = 0
  return {
    take: (amount) =>
      Effect.flatMap(MonotonicClock.millis, (now) => {
        const at = Math.max(now, freeAtMillis)
        freeAtMillis = at + (amount * 1_000) / perSecond
        return Effect.sleep(Math.ceil(freeAtMillis - now))
      })
  }
}
