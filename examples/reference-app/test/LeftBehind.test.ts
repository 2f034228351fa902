import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import * as LeftBehind from "../src/LeftBehind.ts"

/** Work that cannot be interrupted before the test says so. */
const setUp = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const { run } = yield* Scope.extend(LeftBehind.make("1 minute"), scope)
  const begun = yield* Deferred.make<void>()
  const release = yield* Deferred.make<void>()
  const work = Effect.uninterruptible(
    Effect.zipRight(Deferred.succeed(begun, undefined), Deferred.await(release))
  )
  const caller = yield* Effect.fork(run(work))
  yield* Deferred.await(begun)
  return { caller, release, run, scope }
})

const settled = Effect.repeatN(Effect.yieldNow(), 20)

describe("Work that may be left behind", () => {
  it.effect("gives its caller what becomes of it", () =>
    Effect.gen(function* () {
      const { run } = yield* LeftBehind.make("1 minute")
      expect(yield* run(Effect.succeed(1))).toBe(1)
      expect(yield* Effect.flip(run(Effect.fail("no")))).toBe("no")
    }).pipe(Effect.scoped)
  )

  it.effect("does not keep an interrupted caller waiting, but the end of the scope", () =>
    Effect.gen(function* () {
      const { caller, release, scope } = yield* setUp
      expect(Exit.isInterrupted(yield* Fiber.interrupt(caller))).toBe(true)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* settled
      expect((yield* Fiber.poll(closing))._tag).toBe("None")
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(closing)
    })
  )

  it.effect("is interrupted with its caller", () =>
    Effect.gen(function* () {
      const { run } = yield* LeftBehind.make("1 minute")
      const ended = yield* Deferred.make<void>()
      const caller = yield* Effect.fork(
        run(Effect.onInterrupt(Effect.never, () => Deferred.succeed(ended, undefined)))
      )
      yield* settled
      yield* Fiber.interrupt(caller)
      yield* Deferred.await(ended)
    }).pipe(Effect.scoped)
  )
})
