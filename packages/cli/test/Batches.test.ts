import { describe, expect, it } from "@effect/vitest"
import { OutboxError } from "@twinbox/outbox"
import { Cause, Deferred, Effect, Exit, Fiber } from "effect"
import * as Batches from "../src/Batches.ts"
import { Unfinished } from "../src/CommandError.ts"
import { Screen } from "../src/Screen.ts"
import * as StopSignal from "../src/StopSignal.ts"

const counted = { doing: "requeueing", thing: "dead letter" }

/** A command with four batches, and what it did and showed. */
const world = Effect.gen(function* () {
  const asked = yield* Deferred.make<void>()
  const signal = StopSignal.make(asked)
  const lines: Array<string | undefined> = []
  const screen = Screen.of({
    print: () => Effect.void,
    live: (text) => Effect.sync(() => lines.push(text)),
    hasLive: true,
    tell: () => undefined,
    canAsk: false,
    ask: () => Effect.succeed(false)
  })
  const done: Array<number> = []
  const run = (inBatch: (batch: number) => Effect.Effect<void, OutboxError.OutboxError>) =>
    Batches.run(counted, (progress) =>
      Effect.forEach([1, 2, 3, 4], (batch) =>
        Effect.gen(function* () {
          yield* inBatch(batch)
          done.push(batch)
          yield* progress(batch * 500)
        })
      ).pipe(Effect.as("finished"))
    ).pipe(Effect.provideService(Screen, screen), Effect.provideService(StopSignal.StopSignal, signal))
  return { asked, signal, lines, done, run }
})

describe("Batches.run", () => {
  it.effect("shows how far it is, and clears the line at the end", () =>
    Effect.gen(function* () {
      const { lines, run } = yield* world
      expect(yield* run(() => Effect.void)).toBe("finished")
      expect(lines.map((line) => line?.slice(0, 28))).toEqual([
        "requeueing: 500 dead letters",
        "requeueing: 1,000 dead lette",
        "requeueing: 1,500 dead lette",
        "requeueing: 2,000 dead lette",
        undefined
      ])
    })
  )

  it.effect(
    "finishes the batch under way when a stop is asked for, starts no other, and says how far it came",
    () =>
      Effect.gen(function* () {
        const { asked, done, lines, run, signal } = yield* world
        const whole = run((batch) => (batch === 2 ? Deferred.succeed(asked, undefined) : Effect.void))
        const ended = Effect.as(signal.unattended, "ended at once" as const)
        const outcome = yield* Effect.exit(Effect.raceFirst(whole, ended))
        expect(outcome).toEqual(
          Exit.fail(new Unfinished({ progress: "1,000 dead letters", cause: undefined }))
        )
        expect(done).toEqual([1, 2])
        expect(lines.at(-1)).toBeUndefined()
      })
  )

  it.effect("says how far it came when a batch fails", () =>
    Effect.gen(function* () {
      const { done, run } = yield* world
      const cause = new OutboxError.OutboxError({ reason: "Unavailable", operation: "requeue" })
      const error = yield* Effect.flip(run((batch) => (batch === 2 ? cause : Effect.void)))
      expect(error).toEqual(new Unfinished({ progress: "500 dead letters", cause }))
      expect(done).toEqual([1])
    })
  )

  it.effect("keeps a fault a fault", () =>
    Effect.gen(function* () {
      const { run } = yield* world
      const exit = yield* Effect.exit(run(() => Effect.die(new TypeError("x"))))
      expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
    })
  )
})

describe("StopSignal", () => {
  it.effect("ends what is not in batches at once", () =>
    Effect.gen(function* () {
      const { asked, signal } = yield* world
      const waiting = yield* Effect.fork(signal.unattended)
      yield* Deferred.succeed(asked, undefined)
      yield* Fiber.join(waiting)
    })
  )
})
