import { PassThrough } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Screen from "../src/Screen.ts"

const streams = (isTTY: boolean) => {
  const input = Object.assign(new PassThrough(), { isTTY })
  const output = new PassThrough()
  const errors = Object.assign(new PassThrough(), { isTTY, columns: 20 })
  return {
    input,
    output,
    errors,
    told: () => String(errors.read() ?? ""),
    printed: () => String(output.read() ?? "")
  }
}

describe("Screen", () => {
  it.live.each(["y\n", "yes\n", " Y \n"])("takes %j for consent", (typed) =>
    Effect.gen(function* () {
      const { told, printed, ...at } = streams(true)
      at.input.write(typed)
      expect(yield* Screen.make(at).ask("Delete it?")).toBe(true)
      expect(told()).toBe("Delete it? [y/N] ")
      expect(printed()).toBe("")
    })
  )

  it.live.each(["\n", "n\n", "yeah\n", "no y\n"])("takes %j for none", (typed) =>
    Effect.gen(function* () {
      const at = streams(true)
      at.input.write(typed)
      expect(yield* Screen.make(at).ask("Delete it?")).toBe(false)
    })
  )

  it.live("takes the end of the input for none", () =>
    Effect.gen(function* () {
      const at = streams(true)
      at.input.end()
      expect(yield* Screen.make(at).ask("Delete it?")).toBe(false)
    })
  )

  it.live("leaves the line of the question when it is interrupted", () =>
    Effect.gen(function* () {
      const { told, ...at } = streams(true)
      const asking = yield* Effect.fork(Screen.make(at).ask("Delete it?"))
      yield* Effect.repeat(Effect.yieldNow(), { until: () => at.errors.readableLength > 0 })
      yield* Fiber.interrupt(asking)
      expect(told()).toBe("Delete it? [y/N] \n")
    })
  )

  it.effect("can ask on a terminal only", () =>
    Effect.sync(() => {
      expect(Screen.make(streams(true)).canAsk).toBe(true)
      expect(Screen.make({ ...streams(true), input: streams(false).input }).canAsk).toBe(false)
      expect(Screen.make({ ...streams(true), errors: streams(false).errors }).canAsk).toBe(false)
    })
  )

  it.effect("draws the live line on a terminal, cut to its width, and takes it away", () =>
    Effect.gen(function* () {
      const { told, ...at } = streams(true)
      const { live } = Screen.make(at)
      yield* live("requeueing: 1,500 dead letters")
      expect(told()).toBe("requeueing: 1,500 d")
      yield* live(undefined)
      expect(told()).toBe("\r\u001b[2K")
      yield* live(undefined)
      expect(told()).toBe("")
    })
  )

  it.effect("draws no live line elsewhere", () =>
    Effect.gen(function* () {
      const { told, ...at } = streams(false)
      yield* Screen.make(at).live("requeueing")
      expect(told()).toBe("")
    })
  )

  it.effect("tells lines above the live line, and where there is none", () =>
    Effect.gen(function* () {
      const { told, ...at } = streams(true)
      const { live, tell } = Screen.make(at)
      yield* live("comparing")
      tell("it waits")
      expect(told()).toBe("comparing\r\u001b[2Kit waits\ncomparing")
      yield* live(undefined)
      tell("it is done")
      expect(told()).toBe("\r\u001b[2Kit is done\n")
    })
  )
})
