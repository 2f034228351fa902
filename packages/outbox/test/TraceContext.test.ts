import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Option, Tracer } from "effect"
import * as TraceContext from "../src/TraceContext.ts"

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
const spanId = "00f067aa0ba902b7"
const sampled = `00-${traceId}-${spanId}-01`

/** What of a span goes over the wire. */
const identity = (span: Tracer.AnySpan) => ({
  traceId: span.traceId,
  spanId: span.spanId,
  sampled: span.sampled
})

const read = (text: string) => Option.getOrUndefined(Option.map(TraceContext.fromTraceparent(text), identity))

describe("fromTraceparent", () => {
  // https://www.w3.org/TR/trace-context/#examples-of-http-traceparent-headers
  it.each([
    ["a sampled caller", sampled, { traceId, spanId, sampled: true }],
    ["a caller that is not sampled", `00-${traceId}-${spanId}-00`, { traceId, spanId, sampled: false }],
    [
      "the first request of the overview",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", sampled: true }
    ],
    [
      "flags of which only the first bit says something",
      `00-${traceId}-${spanId}-fe`,
      { traceId, spanId, sampled: false }
    ],
    [
      "flags with more than the sampled bit",
      `00-${traceId}-${spanId}-03`,
      { traceId, spanId, sampled: true }
    ],
    ["a version to come", `cc-${traceId}-${spanId}-01`, { traceId, spanId, sampled: true }],
    [
      "a version to come with more parts",
      `cc-${traceId}-${spanId}-01-what-the-future`,
      { traceId, spanId, sampled: true }
    ]
  ])("reads %s", (_, text, expected) => {
    expect(read(text)).toEqual(expected)
  })

  it.each([
    ["nothing", ""],
    ["a version that is none", `ff-${traceId}-${spanId}-01`],
    ["a short version", `0-${traceId}-${spanId}-01`],
    ["a version that is no number", `0g-${traceId}-${spanId}-01`],
    ["the trace id of zeros", `00-${"0".repeat(32)}-${spanId}-01`],
    ["a short trace id", `00-${traceId.slice(1)}-${spanId}-01`],
    ["a long trace id", `00-0${traceId}-${spanId}-01`],
    ["a trace id in capitals", `00-${traceId.toUpperCase()}-${spanId}-01`],
    ["a trace id that is no number", `00-${traceId.replace("4", "x")}-${spanId}-01`],
    ["the span id of zeros", `00-${traceId}-${"0".repeat(16)}-01`],
    ["a short span id", `00-${traceId}-${spanId.slice(1)}-01`],
    ["a long span id", `00-${traceId}-0${spanId}-01`],
    ["a span id in capitals", `00-${traceId}-${spanId.toUpperCase()}-01`],
    ["flags that are left out", `00-${traceId}-${spanId}`],
    ["short flags", `00-${traceId}-${spanId}-1`],
    ["flags that are no number", `00-${traceId}-${spanId}-0x`],
    ["version 00 with more parts", `${sampled}-what-the-future`],
    ["version 00 with a dash at its end", `${sampled}-`],
    ["more text without a dash", `cc-${traceId}-${spanId}-01.what-the-future`],
    ["other separators", sampled.replaceAll("-", "_")],
    ["room around it", ` ${sampled} `],
    ["another line", `${sampled}\n`]
  ])("refuses %s", (_, text) => {
    expect(read(text)).toBeUndefined()
  })
})

const hex = (length: number) =>
  FastCheck.hexaString({ minLength: length, maxLength: length }).filter((text) => /[^0]/.test(text))

const span = FastCheck.record({ traceId: hex(32), spanId: hex(16), sampled: FastCheck.boolean() })

describe("toTraceparent", () => {
  it("writes the specification's example", () => {
    expect(TraceContext.toTraceparent({ traceId, spanId, sampled: true })).toEqual(Option.some(sampled))
    expect(TraceContext.toTraceparent({ traceId, spanId, sampled: false })).toEqual(
      Option.some(`00-${traceId}-${spanId}-00`)
    )
  })

  it.prop("writes what fromTraceparent reads", [span], ([given]) => {
    expect(Option.map(TraceContext.toTraceparent(given), read)).toEqual(Option.some(given))
  })

  it.each([
    ["of a tracer that is off", "noop", "noop"],
    ["of zeros", "0".repeat(32), spanId],
    ["of another length", "4bf92f3577b34da6", spanId],
    ["that would be more parts", `${traceId}-${spanId}-01`, spanId]
  ])("writes nothing for ids %s", (_, traceId, spanId) => {
    expect(TraceContext.toTraceparent({ traceId, spanId, sampled: true })).toEqual(Option.none())
  })
})

const textOf = (span: Tracer.AnySpan) => Option.getOrThrow(TraceContext.toTraceparent(span))

describe("current", () => {
  it.effect("is none outside of spans", () =>
    Effect.map(TraceContext.current, (current) => expect(current).toEqual(Option.none()))
  )

  it.effect("is that of the innermost span, also when it came from outside", () =>
    Effect.gen(function* () {
      const both = Effect.zip(TraceContext.current, Effect.currentParentSpan)
      const [inner, innerSpan] = yield* both.pipe(Effect.withSpan("inner"), Effect.withSpan("outer"))
      expect(innerSpan).toMatchObject({ name: "inner" })
      expect(inner).toEqual(Option.some(textOf(innerSpan)))
      const external = Tracer.externalSpan({ traceId, spanId, sampled: true })
      expect(yield* Effect.withParentSpan(TraceContext.current, external)).toEqual(Option.some(sampled))
    })
  )

  it.effect("passes over spans that are not to be passed on", () =>
    Effect.gen(function* () {
      const off = Effect.withTracerEnabled(Effect.withSpan(TraceContext.current, "off"), false)
      expect(yield* off).toEqual(Option.none())
      const [within, outer] = yield* Effect.zip(off, Effect.currentSpan).pipe(Effect.withSpan("outer"))
      expect(within).toEqual(Option.some(textOf(outer)))
    })
  )

  it.effect("is none for what is detached from the spans around it", () =>
    Effect.gen(function* () {
      const detached = yield* TraceContext.detached(TraceContext.current).pipe(Effect.withSpan("around"))
      expect(detached).toEqual(Option.none())
    })
  )
})

describe("addTo", () => {
  it("leaves a trace alone that is there, in whatever case", () => {
    for (const name of ["traceparent", "Traceparent", "TRACEPARENT"]) {
      const headers = { [name]: "mine" }
      expect(TraceContext.addTo(headers, sampled)).toBe(headers)
    }
    expect(TraceContext.addTo({ a: "b" }, sampled)).toEqual({ a: "b", traceparent: sampled })
  })
})
