import { describe, expect, it } from "@effect/vitest"
import type { TwinSync } from "@twinbox/repository"
import { Deferred, Effect, Fiber, TestClock } from "effect"
import { Failed } from "../src/CommandError.ts"
import * as LongWork from "../src/LongWork.ts"
import { Screen } from "../src/Screen.ts"
import * as StopSignal from "../src/StopSignal.ts"

const progress = (done: number): TwinSync.Progress => ({
  done,
  total: 1_000,
  differing: 3,
  perSecond: 10,
  remainingSeconds: (1_000 - done) / 10
})

const world = (hasLive: boolean) =>
  Effect.map(Deferred.make<void>(), (asked) => {
    const live: Array<string | undefined> = []
    const told: Array<string> = []
    const screen = Screen.of({
      print: () => Effect.void,
      live: (text) => Effect.sync(() => void live.push(text)),
      hasLive,
      tell: (text) => void told.push(text),
      canAsk: false,
      ask: () => Effect.succeed(false)
    })
    const signal = StopSignal.make(asked)
    const run = <A, E>(work: (onProgress: LongWork.OnProgress) => Effect.Effect<A, E>) =>
      LongWork.run({ doing: "comparing", afterStop: "begin anew" }, work).pipe(
        Effect.provideService(Screen, screen),
        Effect.provideService(StopSignal.StopSignal, signal)
      )
    return { asked, live, run, signal, told }
  })

/** A minute of work that tells once a second how far it is. */
const minute = (onProgress: LongWork.OnProgress) =>
  Effect.forEach(
    Array.from({ length: 60 }, (_, at) => at + 1),
    (second) => Effect.zipRight(Effect.sleep("1 second"), onProgress(progress(second))),
    { discard: true }
  ).pipe(Effect.as("done"))

describe("long work", () => {
  it.effect("has a live line on a terminal, which goes at the end", () =>
    Effect.gen(function* () {
      const { live, run, told } = yield* world(true)
      const running = yield* Effect.fork(run(minute))
      yield* TestClock.adjust("1 minute")
      expect(yield* Fiber.join(running)).toBe("done")
      expect(live).toHaveLength(61)
      expect(live[0]).toMatch(/^comparing \[-+\] 0%, 1 of 1,000, 3 differ, 10\/s, 1m 40s left$/)
      expect(live.at(-1)).toBeUndefined()
      expect(told).toEqual([])
    })
  )

  it.effect("tells a line every ten seconds without one, and nothing of what is done sooner", () =>
    Effect.gen(function* () {
      const { run, told } = yield* world(false)
      const running = yield* Effect.fork(run(minute))
      yield* TestClock.adjust("9 seconds")
      expect(told).toEqual([])
      yield* TestClock.adjust("51 seconds")
      yield* Fiber.join(running)
      expect(told).toHaveLength(6)
      expect(told[0]).toBe("twinbox: comparing: 1%, 10 of 1,000, 3 differ, 10/s, 1m 39s left")
    })
  )

  it.effect("is interrupted by a stop, which waits until what is under way has ended", () =>
    Effect.gen(function* () {
      const { asked, live, run, signal } = yield* world(true)
      const ended = yield* Deferred.make<void>()
      const running = yield* Effect.fork(
        run((onProgress) =>
          Effect.zipRight(onProgress(progress(250)), Effect.never).pipe(
            Effect.ensuring(Deferred.succeed(ended, undefined))
          )
        )
      )
      yield* Effect.repeat(Effect.yieldNow(), { until: () => live.length > 0 })
      const unattended = yield* Effect.fork(signal.unattended)
      yield* Deferred.succeed(asked, undefined)
      expect(yield* Effect.flip(Fiber.join(running))).toEqual(
        new Failed({ message: "stopped after 250 documents: begin anew" })
      )
      expect(yield* Deferred.isDone(ended)).toBe(true)
      expect(live.at(-1)).toBeUndefined()
      // Nobody else was told to stop while the work saw to it.
      expect(unattended.unsafePoll()).toBeNull()
      yield* Fiber.interrupt(unattended)
    })
  )

  it.effect("fails with what it failed with", () =>
    Effect.gen(function* () {
      const { live, run } = yield* world(true)
      expect(yield* Effect.flip(run(() => Effect.fail("broken" as const)))).toBe("broken")
      expect(live).toEqual([undefined])
    })
  )
})
