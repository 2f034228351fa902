import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { SessionLanes } from "../src/SessionLanes.ts"

it.effect("What sockets of one session do comes one after another; other sessions do not wait", () =>
  Effect.gen(function* () {
    const lanes = new SessionLanes()
    const done: Array<string> = []
    const gate = yield* Deferred.make<void>()
    const first = yield* Effect.fork(
      lanes.inTurn(
        "a",
        Effect.zipRight(
          Deferred.await(gate),
          Effect.sync(() => done.push("a1"))
        )
      )
    )
    const second = yield* Effect.fork(
      lanes.inTurn(
        "a",
        Effect.sync(() => done.push("a2"))
      )
    )
    yield* Effect.yieldNow()
    yield* lanes.inTurn(
      "b",
      Effect.sync(() => done.push("b"))
    )
    expect(lanes.size).toBe(1)
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.joinAll([first, second])
    expect(done).toEqual(["b", "a1", "a2"])
    // Who is gone takes no memory.
    expect(lanes.size).toBe(0)
  })
)

it.effect("A session that is interrupted, or fails, lets the next one in", () =>
  Effect.gen(function* () {
    const lanes = new SessionLanes()
    const stuck = yield* Effect.fork(lanes.inTurn("a", Effect.never))
    yield* Effect.yieldNow()
    yield* Fiber.interrupt(stuck)
    yield* Effect.flip(lanes.inTurn("a", Effect.fail("no")))
    expect(yield* lanes.inTurn("a", Effect.succeed(1))).toBe(1)
  })
)
