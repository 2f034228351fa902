import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { KeyQueue } from "../src/KeyQueue.ts"

describe("KeyQueue", () => {
  it.effect("lets one at a time through under an id, in order of arrival", () =>
    Effect.gen(function* () {
      const queue = new KeyQueue()
      const log: Array<string> = []
      const turn = (name: string) =>
        queue.inTurn(
          "a",
          Effect.gen(function* () {
            log.push(`${name} in`)
            yield* Effect.yieldNow()
            yield* Effect.yieldNow()
            log.push(`${name} out`)
          })
        )
      yield* Effect.forEach(["1", "2", "3"], turn, { concurrency: "unbounded" })
      expect(log).toEqual(["1 in", "1 out", "2 in", "2 out", "3 in", "3 out"])
    })
  )

  it.effect("keeps nobody waiting for another id", () =>
    Effect.gen(function* () {
      const queue = new KeyQueue()
      const fiber = yield* Effect.fork(queue.inTurn("a", Effect.never))
      yield* Effect.yieldNow()
      expect(yield* queue.inTurn("b", Effect.succeed(1))).toBe(1)
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("lets the next one through after a failure, a defect or an interruption", () =>
    Effect.gen(function* () {
      const queue = new KeyQueue()
      const entered = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        queue.inTurn("a", Effect.zipRight(Deferred.succeed(entered, undefined), Effect.never))
      )
      yield* Deferred.await(entered)
      const [waiting, last] = [
        yield* Effect.fork(queue.inTurn("a", Effect.void)),
        yield* Effect.fork(
          Effect.all(
            [
              queue.inTurn("a", Effect.fail("no")),
              queue.inTurn("a", Effect.dieMessage("bug")),
              queue.inTurn("a", Effect.succeed(1))
            ].map(Effect.exit)
          )
        )
      ]
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waiting)
      yield* Fiber.interrupt(fiber)
      expect((yield* Fiber.join(last)).map(({ _tag }) => _tag)).toEqual(["Failure", "Failure", "Success"])
    })
  )

  it.effect("keeps nothing of ids that nobody uses any longer", () =>
    Effect.gen(function* () {
      const queue = new KeyQueue()
      const hold = yield* Deferred.make<void>()
      const fibers = yield* Effect.forEach(["a", "a", "b"], (id) =>
        Effect.fork(queue.inTurn(id, Deferred.await(hold)))
      )
      yield* Effect.yieldNow()
      expect(queue.size).toBe(2)
      yield* Fiber.interrupt(fibers[1] as Fiber.Fiber<void>)
      expect(queue.size).toBe(2)
      yield* Deferred.succeed(hold, undefined)
      yield* Effect.forEach(fibers, Fiber.await)
      expect(queue.size).toBe(0)
    })
  )
})
