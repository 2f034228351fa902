import { describe, expect, it } from "@effect/vitest"
import { Topic } from "@twinbox/outbox"
import { Effect, Schema } from "effect"
import { json, type RawRecord, read, type Upcasts } from "../src/KafkaConsumerRecord.ts"

const topic = Topic.anonymized("people", Schema.Struct({ name: Schema.String, age: Schema.Int }), {
  schemaVersion: 3
})

/** Version 1 had `years`, version 2 `age` as a text. */
const upcasts: Upcasts = {
  1: (payload) => ({
    name: Reflect.get(payload as object, "name"),
    age: Reflect.get(payload as object, "years")
  }),
  2: (payload) => ({ ...(payload as object), age: Number(Reflect.get(payload as object, "age")) })
}

const valid = {
  ce_id: "m-1",
  ce_sequence: "0000000000000042.000003",
  ce_time: "2026-01-02T03:04:05.678Z",
  "content-type": "application/json",
  "schema-version": "3",
  session_id: "s-9"
}

const record = (
  fields: { readonly key?: string | null; readonly value?: string | null } = {},
  headers: Readonly<Record<string, string | undefined>> = {}
): RawRecord => ({
  topic: "people",
  partition: 2,
  offset: 17n,
  timestamp: 1_700_000_000_000,
  key: fields.key === null ? null : Buffer.from(fields.key ?? "person/1"),
  value: fields.value === null ? null : Buffer.from(fields.value ?? '{"name":"Ada","age":36}'),
  headers: Object.entries({ ...valid, ...headers }).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, Buffer.from(value)] as const]
  )
})

const readIt = (raw: RawRecord) => read(raw, { topic, upcasts, deserialize: json })

describe("a record", () => {
  it.effect("is read by the topic's Schema, with its place and the message's own headers", () =>
    Effect.gen(function* () {
      expect(yield* readIt(record())).toEqual({
        id: "m-1",
        topic: "people",
        key: "person/1",
        sequence: 42,
        ordinal: 3,
        payload: { name: "Ada", age: 36 },
        headers: { "schema-version": "3", session_id: "s-9" },
        time: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
        source: { topic: "people", partition: 2, offset: 17n }
      })
    })
  )

  it.effect("of an older version is raised step by step", () =>
    Effect.gen(function* () {
      const old = { value: '{"name":"Ada","years":"36"}' }
      expect((yield* readIt(record(old, { "schema-version": "1" }))).payload).toEqual({
        name: "Ada",
        age: 36
      })
      const newer = { value: '{"name":"Ada","age":"37"}' }
      expect((yield* readIt(record(newer, { "schema-version": "2" }))).payload).toEqual({
        name: "Ada",
        age: 37
      })
    })
  )

  it.effect("says that its key was deleted by no value, or by the value null", () =>
    Effect.gen(function* () {
      expect((yield* readIt(record({ value: null }))).payload).toBe(null)
      expect((yield* readIt(record({ value: "null" }))).payload).toBe(null)
    })
  )

  it.effect("has the time of its record when it tells none", () =>
    Effect.gen(function* () {
      expect((yield* readIt(record({}, { ce_time: undefined }))).time).toBe(1_700_000_000_000)
    })
  )

  const bad: ReadonlyArray<readonly [string, RawRecord, string]> = [
    ["without an id", record({}, { ce_id: undefined }), "BadHeader"],
    ["without a sequence", record({}, { ce_sequence: undefined }), "BadHeader"],
    ["with a malformed sequence", record({}, { ce_sequence: "-1.0" }), "BadHeader"],
    ["with a malformed version", record({}, { "schema-version": "two" }), "BadHeader"],
    ["without a key", record({ key: null }), "BadKey"],
    ["with a key of another form", record({ key: "ada@example.org" }), "BadKey"],
    ["of a newer version", record({}, { "schema-version": "4" }), "UnknownVersion"],
    ["of a version without a way up", record({}, { "schema-version": "0" }), "UnknownVersion"],
    ["that is no JSON", record({ value: "{ada@example.org" }), "BadPayload"],
    ["whose upcast throws", record({ value: "7" }, { "schema-version": "1" }), "BadPayload"],
    ["that does not fit the Schema", record({ value: '{"name":"ada@example.org"}' }), "BadPayload"]
  ]

  for (const [what, raw, reason] of bad) {
    it.effect(`${what} cannot be read, and no value of it is told`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(readIt(raw))
        expect(error).toMatchObject({ _tag: "UnreadableRecord", reason, retryable: false })
        expect(error.issues.length).toBeGreaterThan(0)
        expect(JSON.stringify([error.message, error.issues, String(error)])).not.toContain("ada@")
      })
    )
  }

  it.effect("with keys of its own does not have them told", () =>
    Effect.gen(function* () {
      const byEmail = Topic.anonymized("people", Schema.Record({ key: Schema.String, value: Schema.Int }))
      const raw = record({ value: '{"ada@example.org":"x"}' }, { "schema-version": "1" })
      const error = yield* Effect.flip(read(raw, { topic: byEmail, upcasts: {}, deserialize: json }))
      expect(error.issues).toEqual(["payload.*: invalid"])
    })
  )

  it.effect("can be deserialized by another way than JSON", () =>
    Effect.gen(function* () {
      const deserialize = (bytes: Buffer) => ({ name: bytes.toString(), age: bytes.length })
      const received = yield* read(record({ value: "Ada" }), { topic, upcasts, deserialize })
      expect(received.payload).toEqual({ name: "Ada", age: 3 })
    })
  )
})
