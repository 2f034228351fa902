import { describe, expect, it } from "@effect/vitest"
import { Data, Effect, Logger, LogLevel, Option, ParseResult, Schema } from "effect"
import * as LogLine from "../src/LogLine.ts"
import * as SafeCause from "../src/SafeCause.ts"

const secret = "Zq7Kp2Wv9Xb4"

/** The lines that an effect logs, as they are stored. */
const linesOf = (effect: Effect.Effect<void>) =>
  Effect.gen(function* () {
    const lines: Array<Option.Option<LogLine.LogLine>> = []
    const logger = Logger.make<unknown, void>((options) => void lines.push(LogLine.of(options)))
    yield* effect.pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(LogLevel.All)
    )
    return lines.map(Option.getOrNull)
  })

const annotated = (annotations: Record<string, unknown>) =>
  linesOf(Effect.annotateLogs(Effect.logInfo("done"), annotations))

class Own extends Data.TaggedError("Own")<{ readonly message: string; readonly retryable: boolean }> {}

describe("A stored line", () => {
  it.effect("has the ids, the level, the text and the time, and what is known to be harmless", () =>
    Effect.gen(function* () {
      const [line] = yield* annotated({ session_id: "s-1", request_id: "r.1", status: 200, route: "/v1" })
      expect(line).toEqual({
        _id: expect.anything(),
        at: expect.any(Date),
        level: "INFO",
        message: "done",
        session_id: "s-1",
        request_id: "r.1",
        notes: { status: 200, route: "/v1" },
        errors: []
      })
    })
  )

  it.effect("has no other annotations, whatever they hold, and nothing but plain values", () =>
    Effect.gen(function* () {
      const [line] = yield* annotated({
        request_id: "r",
        email: secret,
        body: { name: secret },
        route: { name: secret },
        status: [secret],
        method: 5
      })
      expect(line?.notes).toEqual({ method: 5 })
      expect(JSON.stringify(line)).not.toContain(secret)
    })
  )

  it.effect("is none without an id, or with what is no id", () =>
    Effect.gen(function* () {
      expect(yield* linesOf(Effect.logInfo("nobody's"))).toEqual([null])
      for (const id of ["", "a b", "ada@example.com", "a\nb", "x".repeat(129), 7, { $ne: "" }]) {
        expect([id, yield* annotated({ session_id: id })]).toEqual([id, [null]])
      }
    })
  )

  it.effect("has the text of its message alone, in one line of bounded length", () =>
    Effect.gen(function* () {
      const lines = yield* linesOf(
        Effect.zipRight(
          Effect.logInfo("one", { name: secret }, "two\r\n\u001b[2Jthree"),
          Effect.logInfo("x".repeat(5_000))
        ).pipe(Effect.annotateLogs("request_id", "r"))
      )
      expect(lines.map((line) => line?.message)).toEqual(["one two [2Jthree", "x".repeat(1_000)])
    })
  )

  it.effect("names the kinds of errors, without their text", () =>
    Effect.gen(function* () {
      const parsed = Schema.decodeUnknown(Schema.Struct({ age: Schema.Number }))({ age: secret })
      const cause = yield* Effect.flip(Effect.sandbox(parsed))
      const [line] = yield* linesOf(
        Effect.logError("failed", cause).pipe(Effect.annotateLogs("request_id", "r"))
      )
      expect(line?.errors).toEqual(["ParseError"])
      expect(JSON.stringify(line)).not.toContain(secret)
    })
  )
})

describe("A cause that is shown", () => {
  const shown = (effect: Effect.Effect<unknown, unknown>) =>
    Effect.map(Effect.flip(Effect.sandbox(effect)), (cause) => String(SafeCause.of(cause)))

  it.effect("tells the kind of what may quote values, and where it was", () =>
    Effect.gen(function* () {
      const text = `${secret}\n    at ${secret} (x)\n    ${secret}`
      for (const [effect, kind] of [
        [Effect.die(new TypeError(text)), "TypeError"],
        [Effect.fail(new SyntaxError(text)), "SyntaxError"],
        [Effect.fail(text), "unknown error"],
        [Effect.die({ message: text }), "unknown error"],
        [Effect.fail(new ParseResult.ParseError({ issue: typeIssue })), "ParseError"],
        [Effect.fail(Object.assign(new Own({ message: "own", retryable: true }), { cause: text })), "own"]
      ] as const) {
        const told = yield* shown(effect)
        expect(told).toContain(kind)
        expect([kind, told]).toEqual([kind, expect.not.stringContaining(secret)])
      }
      expect(yield* shown(Effect.die(new TypeError(text)))).toMatch(/\n +at .*LogLine\.test\.ts:\d+/)
    })
  )

  const typeIssue = new ParseResult.Type(Schema.Number.ast, secret)

  it.effect("tells the text of the errors of this project", () =>
    Effect.gen(function* () {
      expect(yield* shown(Effect.fail(new Own({ message: "MongoDB is away", retryable: true })))).toContain(
        "MongoDB is away"
      )
    })
  )
})
