import { describe, expect, it } from "@effect/vitest"
import { MessageArbitrary, MessageFixture } from "@twinbox/testkit"
import { Effect, Either, ParseResult, Schema } from "effect"
import * as Message from "../src/Message.ts"
import * as Slot from "../src/Slot.ts"
import * as Topic from "../src/Topic.ts"

const Customer = Schema.Struct({
  name: Schema.String,
  born: Schema.DateFromString,
  address: Schema.Struct({ lines: Schema.Array(Schema.String.pipe(Schema.maxLength(10))) })
})
const customers = Topic.anonymized("customers", Customer, { schemaVersion: 3 })
const reminders = Topic.anonymized("reminders", Schema.Struct({ text: Schema.String }), { ordered: false })
const secret = "Mrs. Secret of 7 Hidden Lane"

const customer = { name: "a", born: new Date(0), address: { lines: ["x"] } }

describe("draft", () => {
  it.effect("encodes the payload by the topic's Schema", () =>
    Effect.gen(function* () {
      const draft = yield* Message.draft(customers, { key: "customer/1", payload: customer })
      expect(draft).toMatchObject({
        topic: "customers",
        key: "customer/1",
        payload: '{"name":"a","born":"1970-01-01T00:00:00.000Z","address":{"lines":["x"]}}',
        headers: { "schema-version": "3" }
      })
    })
  )

  it.effect("keeps null as null: the record is gone", () =>
    Effect.gen(function* () {
      const draft = yield* Message.draft(customers, { key: "customer/1", payload: null })
      expect(draft.payload).toBeNull()
    })
  )

  it.effect("keeps headers, but for the schema's version", () =>
    Effect.gen(function* () {
      const headers = { traceparent: "00-1-2-01", "schema-version": "99" }
      const draft = yield* Message.draft(customers, { key: "customer/1", payload: null, headers })
      expect(draft.headers).toEqual({ traceparent: "00-1-2-01", "schema-version": "3" })
    })
  )

  it.effect("has an id of its own", () =>
    Effect.gen(function* () {
      const draft = Message.draft(customers, { key: "customer/1", payload: null })
      const [one, two] = yield* Effect.all([draft, draft])
      expect(one.id).not.toBe(two.id)
    })
  )

  it.effect("names every field of an invalid payload, and no value", () =>
    Effect.gen(function* () {
      const payload = { name: "a", born: new Date(Number.NaN), address: { lines: ["ok", secret] } }
      const error = yield* Effect.flip(Message.draft(customers, { key: "customer/1", payload }))
      expect(error._tag).toBe("InvalidMessage")
      expect(error.retryable).toBe(false)
      expect(error.issues.join(" ")).toContain("address.lines.1")
      expect(`${error.message} ${JSON.stringify(error)} ${String(error)}`).not.toContain(secret)
    })
  )

  it.effect("refuses a malformed key without repeating it", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Message.draft(customers, { key: secret, payload: customer }))
      expect(error.issues).toEqual(["key: is not 'stream/id'"])
      expect(JSON.stringify(error)).not.toContain(secret)
    })
  )
})

describe("draft in a span", () => {
  const draft = Message.draft(customers, { key: "customer/1", payload: null })

  it.effect("carries the span it was made in", () =>
    Effect.gen(function* () {
      const [{ headers }, span] = yield* Effect.zip(draft, Effect.currentSpan).pipe(Effect.withSpan("save"))
      expect(headers).toEqual({
        traceparent: `00-${span.traceId}-${span.spanId}-01`,
        "schema-version": "3"
      })
    })
  )

  it.effect("keeps the trace that its maker has given it", () =>
    Effect.gen(function* () {
      const headers = { traceparent: "mine", other: "header" }
      const made = yield* Message.draft(customers, { key: "customer/1", payload: null, headers }).pipe(
        Effect.withSpan("save")
      )
      expect(made.headers).toEqual({ ...headers, "schema-version": "3" })
    })
  )

  it.effect("has no such header when there is no span", () =>
    Effect.map(draft, ({ headers }) => expect(headers).toEqual({ "schema-version": "3" }))
  )
})

describe("draft with availableAt", () => {
  const reminder = (availableAt: number) =>
    Message.draft(reminders, { key: "session/a", payload: { text: "x" }, availableAt })

  it.effect("keeps it, through its place, up to the message", () =>
    Effect.gen(function* () {
      const draft = yield* reminder(1_767_225_600_000)
      expect(draft.availableAt).toBe(1_767_225_600_000)
      const message = Message.place(draft, { sequence: 1, ordinal: 0, createdAt: 5 })
      expect(message.availableAt).toBe(1_767_225_600_000)
      expect(Message.decodeUnknown(message)).toEqual(Either.right(message))
    })
  )

  it.effect("is refused on an ordered topic", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Message.draft(customers, { key: "customer/1", payload: customer, availableAt: 1_767_225_600_000 })
      )
      expect(error._tag).toBe("InvalidMessage")
      expect(error.key).toBe("customer/1")
      expect(error.issues.join(" ")).toContain("availableAt: the topic is ordered")
    })
  )

  it.effect.each([-1, 0.5, Number.NaN, Infinity, 8_640_000_000_000_001])("is refused when it is %s", (time) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(reminder(time))
      expect(error.issues.join(" ")).toContain("availableAt: is no time")
    })
  )

  it.effect("of the first and the last moment is a time", () =>
    Effect.gen(function* () {
      for (const time of [0, 8_640_000_000_000_000]) expect((yield* reminder(time)).availableAt).toBe(time)
    })
  )

  it.effect("left out is no field at all", () =>
    Effect.gen(function* () {
      const draft = yield* Message.draft(reminders, { key: "session/a", payload: { text: "x" } })
      expect(draft).not.toHaveProperty("availableAt")
      const message = Message.place(draft, { sequence: 1, ordinal: 0, createdAt: 5 })
      expect(message).not.toHaveProperty("availableAt")
      expect(Message.decodeUnknown(message)).toEqual(Either.right(message))
    })
  )
})

describe("place", () => {
  it.effect("adds slot, sequence, ordinal and time, and keeps the rest", () =>
    Effect.gen(function* () {
      const draft = yield* Message.draft(customers, { key: "customer/1", payload: customer })
      const message = Message.place(draft, { sequence: 4, ordinal: 1, createdAt: 5 })
      expect(message).toEqual({
        ...draft,
        slot: Slot.ofKey("customer/1"),
        sequence: 4,
        ordinal: 1,
        createdAt: 5
      })
    })
  )
})

describe("decodeUnknown", () => {
  it.prop("accepts every well-formed message as it is", [MessageArbitrary.message], ([message]) => {
    expect(Message.decodeUnknown(message)).toEqual(Either.right(message))
  })

  const good = MessageFixture.make()
  it.each([
    ["id", { ...good, id: "" }],
    ["topic", { ...good, topic: "" }],
    ["key", { ...good, key: "nonsense" }],
    ["slot", { ...good, slot: 256 }],
    ["sequence", { ...good, sequence: 1.5 }],
    ["ordinal", { ...good, ordinal: -1 }],
    ["payload", { ...good, payload: { not: "text" } }],
    ["headers.x", { ...good, headers: { x: 1 } }],
    ["createdAt", { ...good, createdAt: "yesterday" }],
    ["availableAt", { ...good, availableAt: "tomorrow" }],
    ["availableAt", { ...good, availableAt: Number.NaN }],
    ["availableAt", { ...good, availableAt: undefined }]
  ])("names '%s' when it is wrong", (path, input) => {
    const decoded = Message.decodeUnknown(input)
    const issues = Either.isLeft(decoded) ? ParseResult.ArrayFormatter.formatIssueSync(decoded.left) : []
    expect([...new Set(issues.map((issue) => issue.path.join(".")))]).toEqual([path])
  })

  it("refuses a slot that is not the key's", () => {
    expect(Either.isLeft(Message.decodeUnknown({ ...good, slot: (good.slot + 1) % 256 }))).toBe(true)
  })

  it.each([[null], [undefined], [1], ["text"], [[]], [{}]])("refuses %j", (input) => {
    expect(Either.isLeft(Message.decodeUnknown(input))).toBe(true)
  })
})
