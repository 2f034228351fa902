import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { type Check, layer, Readiness, Unready } from "../src/Readiness.ts"

const findings = Effect.flatMap(Readiness, (readiness) => Effect.map(readiness.findings, Object.fromEntries))

const add = (name: string, check: Check) =>
  Effect.flatMap(Readiness, (readiness) => readiness.add(name, check))

const unready = new Unready({ reason: "nobody is at home" })

describe("Readiness", () => {
  it.scoped("tells what each check found, in words, and never what a defect says", () =>
    Effect.gen(function* () {
      yield* add("good", Effect.void)
      yield* add("bad", unready)
      yield* add("broken", Effect.die("mongodb://user:password@host"))
      expect(yield* findings).toEqual({
        good: {},
        bad: { reason: "nobody is at home" },
        broken: { reason: "the check itself failed" }
      })
    }).pipe(Effect.provide(layer))
  )

  it.scoped("waits a second for a check and no longer, and all are made at once", () =>
    Effect.gen(function* () {
      const endless = Effect.uninterruptible(Effect.never)
      yield* add("endless", endless)
      yield* add("endless, too", endless)
      yield* add("slow", Effect.sleep("900 millis"))
      const asking = yield* Effect.fork(findings)
      yield* TestClock.adjust("1 second")
      const late = { reason: "there was no answer in time" }
      expect(yield* Fiber.join(asking)).toEqual({ endless: late, "endless, too": late, slow: {} })
    }).pipe(Effect.provide(layer))
  )

  it.scoped("looks once a second, however many ask, and forgets a check whose scope has ended", () =>
    Effect.gen(function* () {
      let looks = 0
      const counting = Effect.sync(() => {
        looks += 1
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* add("counting", counting)
          yield* Effect.all(
            Array.from({ length: 20 }, () => findings),
            { concurrency: 20 }
          )
          expect(looks).toBe(1)
          yield* TestClock.adjust("1 second")
          yield* findings
          expect(looks).toBe(2)
        })
      )
      yield* TestClock.adjust("1 second")
      expect(yield* findings).toEqual({})
    }).pipe(Effect.provide(layer))
  )

  it.scoped("does not fail for all because one who asks goes away", () =>
    Effect.gen(function* () {
      yield* add("slow", Effect.sleep("500 millis"))
      const impatient = yield* Effect.fork(findings)
      yield* TestClock.adjust("100 millis")
      yield* Fiber.interrupt(impatient)
      const patient = yield* Effect.fork(findings)
      yield* TestClock.adjust("400 millis")
      expect(yield* Fiber.join(patient)).toEqual({ slow: {} })
    }).pipe(Effect.provide(layer))
  )
})
