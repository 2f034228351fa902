import { describe, expect, it } from "@effect/vitest"
import { type Context, Effect, Layer, LogLevel, Option, Schema } from "effect"
import * as Logs from "../src/Logs.ts"
import * as Screen from "../src/Screen.ts"
import { type LogFormat, Settings } from "../src/Settings.ts"

const secret = "Zq7Kp2Wv9Xb4"

/** What the screen shows of an effect, at a level. */
const shown = (logFormat: LogFormat, logLevel: LogLevel.LogLevel, effect: Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    let text = ""
    const screen = Screen.make({ write: (more) => (text += more) })
    const settings = { logFormat, logLevel: Option.some(logLevel) } as Context.Tag.Service<Settings>
    yield* effect.pipe(
      Effect.provide(
        Logs.layer.pipe(
          Layer.provide(Layer.merge(Layer.succeed(Screen.Screen, screen), Layer.succeed(Settings, settings)))
        )
      )
    )
    return text
  })

describe("The screen", () => {
  it.effect("never shows what an error quotes, in any format, at any level", () =>
    Effect.gen(function* () {
      const parsed = Schema.decodeUnknown(Schema.Struct({ age: Schema.Number }))({ age: secret })
      const failing = Effect.zipRight(
        Effect.catchAllCause(parsed, (cause) => Effect.logError("not read", cause)),
        Effect.flatMap(Effect.fork(Effect.die(new TypeError(secret))), (fiber) => fiber.await)
      )
      for (const format of ["auto", "plain", "json"] as const) {
        for (const level of [LogLevel.Info, LogLevel.Trace]) {
          const text = yield* shown(format, level, failing)
          expect([format, text]).toEqual([format, expect.stringMatching(/not read.*ParseError/s)])
          expect([format, text]).toEqual([format, expect.not.stringContaining(secret)])
        }
        expect(yield* shown(format, LogLevel.Trace, failing)).toMatch(/TypeError.*Logs\.test\.ts:\d+/s)
      }
    })
  )
})
