import { describe, expect, it } from "@effect/vitest"
import { MessageArbitrary, VirtualClock } from "@twinbox/testkit"
import { Key, Message } from "@twinbox/outbox"
import { Clock, Effect, Either, Fiber } from "effect"

describe("VirtualClock", () => {
  it.scoped("wakes sleepers in the order of their times, each at its own", () =>
    Effect.gen(function* () {
      const clock = new VirtualClock.VirtualClock(1_000)
      yield* Effect.withClockScoped(clock)
      const woken: Array<number> = []
      const sleeper = (millis: number) =>
        Effect.sleep(millis).pipe(
          Effect.zipRight(Clock.currentTimeMillis),
          Effect.map((now) => void woken.push(now))
        )
      yield* Effect.forkScoped(Effect.forEach([30, 10, 20, 10], sleeper, { concurrency: "unbounded" }))
      yield* Effect.forkScoped(Effect.zipRight(sleeper(5), sleeper(20)))
      yield* clock.advance("29 millis")
      expect(woken).toEqual([1_005, 1_010, 1_010, 1_020, 1_025])
      expect(yield* Clock.currentTimeMillis).toBe(1_029)
      yield* clock.advance("1 millis")
      expect(woken).toHaveLength(6)
    })
  )

  it.scoped("forgets sleepers that are interrupted", () =>
    Effect.gen(function* () {
      const clock = new VirtualClock.VirtualClock()
      yield* Effect.withClockScoped(clock)
      const sleeper = yield* Effect.fork(Effect.sleep("1 hour"))
      yield* VirtualClock.settle
      yield* Fiber.interrupt(sleeper)
      yield* clock.advance("2 hours")
      expect(clock.unsafeCurrentTimeMillis()).toBe(7_200_000)
    })
  )
})

describe("arbitraries", () => {
  it.prop(
    "make well-formed keys and messages only",
    [MessageArbitrary.key, MessageArbitrary.message],
    (given) => {
      const [key, message] = given
      expect(Key.isKey(key)).toBe(true)
      expect(Message.decodeUnknown(message)).toEqual(Either.right(message))
    }
  )
})
