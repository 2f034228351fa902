import { describe, expect, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Logger, TestClock } from "effect"
import { OutboxError } from "../src/OutboxError.ts"
import * as ProducerLimit from "../src/ProducerLimit.ts"
import { Transaction } from "../src/Transaction.ts"

type Depth = Effect.Effect<number, OutboxError>

const away = new OutboxError({ reason: "Unavailable", operation: "depth" })

/** A limit over a depth that tests set, and how often it was read. */
const setUp = (options: ProducerLimit.Options) =>
  Effect.gen(function* () {
    const given = { depth: Effect.succeed(0) as Depth, reads: 0 }
    const depth = Effect.suspend(() => {
      given.reads += 1
      return given.depth
    })
    const check = yield* ProducerLimit.make(depth, options)
    /** What a writer meets. */
    const outcome = Effect.match(check, {
      onFailure: ({ reason, retryable }) => (retryable ? reason : "not retryable"),
      onSuccess: () => "passes"
    })
    return { given, check, outcome }
  })

describe("The producer limit", () => {
  it.effect("refuses at and over the limit, and lets pass below it", () =>
    Effect.gen(function* () {
      const { given, outcome } = yield* setUp({ maxDepth: 10 })
      const outcomes: Array<string> = []
      for (const depth of [0, 9, 10, 11, 9]) {
        given.depth = Effect.succeed(depth)
        outcomes.push(yield* outcome)
        yield* TestClock.adjust("1 second")
      }
      expect(outcomes).toEqual(["passes", "passes", "Full", "Full", "passes"])
    })
  )

  it.effect("is none, and reads nothing, without a figure", () =>
    Effect.gen(function* () {
      const { given, outcome } = yield* setUp({ checkEvery: "1 millis" })
      given.depth = Effect.succeed(Infinity)
      expect(yield* outcome).toBe("passes")
      expect(given.reads).toBe(0)
    })
  )

  it.effect("reads once in its time, whatever is written", () =>
    Effect.gen(function* () {
      const { given, outcome } = yield* setUp({ maxDepth: 10, checkEvery: "5 seconds" })
      for (let at = 0; at < 10; at++) yield* outcome
      given.depth = Effect.succeed(99)
      yield* TestClock.adjust("4999 millis")
      expect([yield* outcome, given.reads]).toEqual(["passes", 1])
      yield* TestClock.adjust("1 millis")
      expect([yield* outcome, yield* outcome, given.reads]).toEqual(["Full", "Full", 2])
    })
  )

  it.effect("reads every second if nobody says otherwise", () =>
    Effect.gen(function* () {
      const { given, outcome } = yield* setUp({ maxDepth: 10 })
      yield* outcome
      yield* TestClock.adjust("999 millis")
      yield* outcome
      expect(given.reads).toBe(1)
      yield* TestClock.adjust("1 millis")
      yield* outcome
      expect(given.reads).toBe(2)
    })
  )

  it.effect("shares one reading among all who come meanwhile", () =>
    Effect.gen(function* () {
      const { given, outcome } = yield* setUp({ maxDepth: 10 })
      const answer = yield* Deferred.make<number>()
      given.depth = Deferred.await(answer)
      const fibers = yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.fork(outcome))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(answer, 10)
      const outcomes = yield* Effect.forEach(fibers, Fiber.join)
      expect(new Set(outcomes)).toEqual(new Set(["Full"]))
      expect(given.reads).toBe(1)
    })
  )

  it.effect("goes on with the reading when the fiber that began it is interrupted", () =>
    Effect.gen(function* () {
      const { given, check, outcome } = yield* setUp({ maxDepth: 10 })
      const answer = yield* Deferred.make<number>()
      given.depth = Deferred.await(answer)
      const first = yield* Effect.fork(check)
      yield* Effect.yieldNow()
      const second = yield* Effect.fork(outcome)
      yield* Effect.yieldNow()
      expect(Exit.isInterrupted(yield* Fiber.interrupt(first))).toBe(true)
      yield* Deferred.succeed(answer, 10)
      expect(yield* Fiber.join(second)).toBe("Full")
      expect(given.reads).toBe(1)
    })
  )

  it.effect("lets a waiting writer go that is interrupted", () =>
    Effect.gen(function* () {
      const { given, check, outcome } = yield* setUp({ maxDepth: 10 })
      const answer = yield* Deferred.make<number>()
      given.depth = Deferred.await(answer)
      const first = yield* Effect.fork(outcome)
      yield* Effect.yieldNow()
      const second = yield* Effect.fork(check)
      yield* Effect.yieldNow()
      expect(Exit.isInterrupted(yield* Fiber.interrupt(second))).toBe(true)
      yield* Deferred.succeed(answer, 0)
      expect(yield* Fiber.join(first)).toBe("passes")
    })
  )

  it.effect("keeps the last figure while the depth cannot be read, and says so once", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        lines.push(`${logLevel.label} ${String(message)}`)
      })
      const { given, outcome } = yield* setUp({ maxDepth: 10 })
      const outcomes: Array<string> = []
      const full = Effect.succeed(10)
      const broken: ReadonlyArray<Depth> = [Effect.fail(away), Effect.dieMessage("a fault"), Effect.interrupt]
      for (const depth of [...broken, full, ...broken, Effect.succeed(9), ...broken]) {
        given.depth = depth
        outcomes.push(yield* Effect.provide(outcome, Logger.replace(Logger.defaultLogger, logger)))
        yield* TestClock.adjust("1 second")
      }
      expect(outcomes).toEqual([
        ...Array.from({ length: 3 }, () => "passes"),
        ...Array.from({ length: 4 }, () => "Full"),
        ...Array.from({ length: 4 }, () => "passes")
      ])
      expect(lines).toEqual(
        Array.from(
          { length: 3 },
          () => "WARN the depth of the outbox cannot be read: the last known one goes on limiting producers"
        )
      )
      expect(given.reads).toBe(11)
    })
  )

  it.effect("does not wait for a reading that takes more than a second", () =>
    Effect.gen(function* () {
      const { given, outcome } = yield* setUp({ maxDepth: 10 })
      given.depth = Effect.succeed(10)
      expect(yield* outcome).toBe("Full")
      yield* TestClock.adjust("1 second")
      given.depth = Effect.never
      const writer = yield* Effect.fork(outcome)
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(writer)).toBe("Full")
      expect(yield* outcome).toBe("Full")
      expect(given.reads).toBe(2)
    })
  )

  it.effect("reads outside of the writer's transaction", () =>
    Effect.gen(function* () {
      let seen: unknown
      const depth = Effect.map(Effect.serviceOption(Transaction), (transaction) => {
        seen = transaction._tag
        return 0
      })
      const check = yield* ProducerLimit.make(depth, { maxDepth: 1 })
      yield* Effect.provideService(check, Transaction, { adapter: "test" })
      expect(seen).toBe("None")
    })
  )

  it.effect.each([0, -1, 1.5, Number.NaN, Infinity])(
    "takes a limit of %s for a fault of the program",
    (maxDepth) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(setUp({ maxDepth }))
        expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
      })
  )
})
