import { describe, expect, it } from "@effect/vitest"
import { MessageFixture } from "@twinbox/testkit"
import { Effect, Fiber } from "effect"
import * as Message from "../src/Message.ts"
import * as MessageHeaders from "../src/MessageHeaders.ts"
import * as Outbox from "../src/Outbox.ts"
import * as OutboxMemory from "../src/OutboxMemory.ts"
import { OutboxStore } from "../src/OutboxStore.ts"
import * as TraceContext from "../src/TraceContext.ts"

const schemaVersion = { "schema-version": "1" }

const draft = (headers: Message.Headers = {}) =>
  Message.fromText(MessageFixture.topic, "session/a", '{"revision":1}', { headers })

const setUp = Effect.gen(function* () {
  const { store, transact } = yield* OutboxMemory.make()
  const outbox = yield* Effect.provideService(Outbox.make(), OutboxStore, store)
  /** Appends a message of its own, and tells its headers. */
  const append = (headers?: Message.Headers) =>
    Effect.map(transact(outbox.append(draft(headers))), (message) => message.headers)
  return { append, outbox, transact }
})

describe("MessageHeaders.locally", () => {
  it.effect("gives its headers to every message that is appended inside, and to none after it", () =>
    Effect.gen(function* () {
      const { append, outbox, transact } = yield* setUp
      const all = transact(outbox.appendAll([{ draft: draft() }, { draft: draft({ own: "1" }) }]))
      const inside = yield* MessageHeaders.locally({ a: "1" })(all)
      expect(inside.map(({ headers }) => headers)).toEqual([
        { a: "1", ...schemaVersion },
        { a: "1", own: "1", ...schemaVersion }
      ])
      expect(yield* append()).toEqual(schemaVersion)
    })
  )

  it.effect("leaves a message those of its own, and the version of its Schema", () =>
    Effect.gen(function* () {
      const { append } = yield* setUp
      const appended = append({ a: "own" }).pipe(
        MessageHeaders.locally({ a: "given", b: "given", "schema-version": "7" })
      )
      expect(yield* appended).toEqual({ a: "own", b: "given", ...schemaVersion })
    })
  )

  it.effect("adds to what is given around it, and goes before it", () =>
    Effect.gen(function* () {
      const { append } = yield* setUp
      const appended = append().pipe(
        MessageHeaders.locally({ b: "inner", c: "inner" }),
        MessageHeaders.locally({ a: "outer", b: "outer" })
      )
      expect(yield* appended).toEqual({ a: "outer", b: "inner", c: "inner", ...schemaVersion })
    })
  )

  it.effect("keeps the headers of fibers apart", () =>
    Effect.gen(function* () {
      const { append } = yield* setUp
      const fibers = yield* Effect.forEach(["1", "2", "3"], (a) =>
        Effect.fork(MessageHeaders.locally({ a })(Effect.zipRight(Effect.yieldNow(), append())))
      )
      const headers = yield* Effect.forEach(fibers, Fiber.join)
      expect(headers.map(({ a }) => a)).toEqual(["1", "2", "3"])
    })
  )

  it.effect("gives a trace that goes before that of the span around it", () =>
    Effect.gen(function* () {
      const { append } = yield* setUp
      const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
      const headers = yield* append().pipe(
        MessageHeaders.locally({ [TraceContext.header]: traceparent }),
        Effect.withSpan("append")
      )
      expect(headers[TraceContext.header]).toBe(traceparent)
    })
  )
})

describe("MessageHeaders.detached", () => {
  it.effect("gives nothing on of what is given around it", () =>
    Effect.gen(function* () {
      const { append } = yield* setUp
      const appended = MessageHeaders.locally({ a: "1" })(MessageHeaders.detached(append()))
      expect(yield* appended).toEqual(schemaVersion)
    })
  )
})
