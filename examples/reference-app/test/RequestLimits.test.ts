import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, TestClock } from "effect"
import * as RequestLimits from "../src/RequestLimits.ts"

const limits = RequestLimits.layer({ concurrency: 1, within: "10 seconds" })

const kindOf = ({ kind }: { readonly kind: string }) => kind

it.effect(
  "who runs out of time or goes away does not wait for a write, which keeps its place until it ends",
  () =>
    Effect.gen(function* () {
      const { run } = yield* RequestLimits.RequestLimits
      for (const leave of ["time", "client"]) {
        const begun = yield* Deferred.make<void>()
        const mayEnd = yield* Deferred.make<void>()
        const hasEnded = yield* Deferred.make<void>()
        const write = Deferred.succeed(begun, undefined).pipe(
          Effect.zipRight(Deferred.await(mayEnd)),
          Effect.zipRight(Deferred.succeed(hasEnded, undefined)),
          Effect.uninterruptible
        )
        const request = yield* Effect.fork(run(write))
        yield* Deferred.await(begun)
        if (leave === "time") {
          yield* TestClock.adjust("10 seconds")
          expect(kindOf(yield* Effect.flip(Fiber.join(request)))).toBe("timed-out")
        } else yield* Fiber.interrupt(request)
        expect(kindOf(yield* Effect.flip(run(Effect.void)))).toBe("busy")
        yield* Deferred.succeed(mayEnd, undefined)
        yield* Deferred.await(hasEnded)
        yield* Effect.retry(Effect.zipRight(Effect.yieldNow(), run(Effect.void)), { times: 100 })
      }
    }).pipe(Effect.provide(limits))
)

it.effect("turns all away after it was closed", () =>
  Effect.gen(function* () {
    const { close, run } = yield* RequestLimits.RequestLimits
    expect(yield* run(Effect.succeed(7))).toBe(7)
    yield* close
    expect(kindOf(yield* Effect.flip(run(Effect.succeed(7))))).toBe("unavailable")
  }).pipe(Effect.provide(limits))
)
