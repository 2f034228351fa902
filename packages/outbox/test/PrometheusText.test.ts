import { PrometheusText } from "@twinbox/outbox"
import {
  Chunk,
  Duration,
  FastCheck,
  MetricBoundaries,
  MetricKey,
  MetricLabel,
  MetricPair,
  MetricState,
  Option
} from "effect"
import { describe, expect, it } from "vitest"
import { parsePrometheus } from "./PrometheusParser.ts"

type Tags = Readonly<Record<string, string>>

const tagged = <Key extends MetricKey.MetricKey.Untyped>(key: Key, tags: Tags): Key =>
  MetricKey.taggedWithLabels(
    key,
    Object.entries(tags).map(([name, value]) => MetricLabel.make(name, value))
  ) as Key

const counter = (name: string, count: number, tags: Tags = {}, incremental = true) =>
  MetricPair.make(tagged(MetricKey.counter(name, { incremental }), tags), MetricState.counter(count) as never)

const gauge = (name: string, value: number, tags: Tags = {}, description?: string) =>
  MetricPair.make(
    tagged(MetricKey.gauge(name, description === undefined ? {} : { description }), tags),
    MetricState.gauge(value) as never
  )

const bounds = MetricBoundaries.fromIterable([0.5, 2])

const histogram = (
  name: string,
  buckets: ReadonlyArray<readonly [number, number]>,
  count: number,
  tags: Tags
) =>
  MetricPair.make(
    tagged(MetricKey.histogram(name, bounds), tags),
    MetricState.histogram({ buckets, count, sum: 12.25, min: 0, max: 9 }) as never
  )

const render = (...pairs: ReadonlyArray<MetricPair.MetricPair.Untyped>) => PrometheusText.render(pairs)

const only = (text: string) => [...parsePrometheus(text).values()][0]

describe("Prometheus text", () => {
  it("is one piece for each name, with help and type first, in the order of names", () => {
    const text = render(
      gauge("b_level", 2.5, { sink: "b" }, "Level"),
      counter("a_total", 3),
      gauge("b_level", -1, { sink: "a" }, "Level")
    )
    expect(text).toBe(
      [
        "# TYPE a_total counter",
        "a_total 3",
        "# HELP b_level Level",
        "# TYPE b_level gauge",
        'b_level{sink="b"} 2.5',
        'b_level{sink="a"} -1',
        ""
      ].join("\n")
    )
    expect(PrometheusText.render([])).toBe("")
  })

  it("has cumulative buckets, one of them for infinity, a sum and a count for each series of a histogram", () => {
    const buckets = [
      [0.5, 1],
      [2, 4],
      [Infinity, 6]
    ] as const
    const text = render(histogram("h_seconds", buckets, 6, { sink: "x" }), histogram("h_seconds", [], 0, {}))
    expect(text).toBe(
      [
        "# TYPE h_seconds histogram",
        'h_seconds_bucket{le="0.5",sink="x"} 1',
        'h_seconds_bucket{le="2",sink="x"} 4',
        'h_seconds_bucket{le="+Inf",sink="x"} 6',
        'h_seconds_sum{sink="x"} 12.25',
        'h_seconds_count{sink="x"} 6',
        'h_seconds_bucket{le="+Inf"} 0',
        "h_seconds_sum 12.25",
        "h_seconds_count 0",
        ""
      ].join("\n")
    )
    parsePrometheus(text)
  })

  it("calls a gauge what Effect calls a counter and may fall", () => {
    expect(only(render(counter("open", -2, {}, false)))).toMatchObject({
      type: "gauge",
      samples: [{ value: -2 }]
    })
  })

  it("writes summaries, and frequencies as counters", () => {
    const summary = MetricKey.summary({
      name: "s",
      maxAge: Duration.seconds(1),
      maxSize: 10,
      error: 0,
      quantiles: Chunk.of(0.5) as never
    })
    const state = MetricState.summary({
      error: 0,
      quantiles: [
        [0.5, Option.some(3)],
        [0.9, Option.none()]
      ],
      count: 2,
      min: 1,
      max: 5,
      sum: 6
    })
    expect(only(render(MetricPair.make(summary, state as never)))).toEqual({
      type: "summary",
      help: undefined,
      samples: [
        { name: "s", labels: { quantile: "0.5" }, value: 3 },
        { name: "s", labels: { quantile: "0.9" }, value: NaN },
        { name: "s_sum", labels: {}, value: 6 },
        { name: "s_count", labels: {}, value: 2 }
      ]
    })
    const words = MetricState.frequency(new Map([["a b", 2]]))
    expect(only(render(MetricPair.make(MetricKey.frequency("f"), words as never)))).toEqual({
      type: "counter",
      help: undefined,
      samples: [{ name: "f", labels: { key: "a b" }, value: 2 }]
    })
  })

  it("writes numbers that JavaScript spells otherwise", () => {
    const text = render(gauge("a", Infinity), gauge("b", -Infinity), gauge("c", NaN), gauge("d", 1e-7))
    expect(text.match(/^[a-d] .*$/gm)).toEqual(["a +Inf", "b -Inf", "c NaN", "d 1e-7"])
  })

  it("lets no two metrics of one name contradict each other", () => {
    const text = render(
      counter("x", 1, { sink: "a" }),
      gauge("x", 2, { sink: "b" }),
      counter("x", 3, { sink: "a" }),
      counter("x", 4, { sink: "b" })
    )
    expect(only(text)).toMatchObject({
      type: "counter",
      samples: [
        { labels: { sink: "a" }, value: 1 },
        { labels: { sink: "b" }, value: 4 }
      ]
    })
  })

  it("keeps whatever stands in help and labels, and makes every name valid", () => {
    const text = FastCheck.oneof(
      FastCheck.string({ unit: "binary" }),
      FastCheck.string({
        unit: FastCheck.constantFrom("\\", '"', "\n", "\r", "{", "}", ",", "=", " ", "n", "#")
      })
    )
    FastCheck.assert(
      FastCheck.property(text, text, text, text, (name, help, label, value) => {
        const family = only(render(gauge(name, 1, { [label]: value }, help)))
        expect(family?.help).toBe(help)
        expect(Object.values(family?.samples[0]?.labels ?? {})).toEqual([value])
      }),
      { numRuns: 200 }
    )
  })

  it("keeps good names as they are", () => {
    expect(render(gauge("ns:a_1", 1, { b_2: "c" }))).toContain('ns:a_1{b_2="c"} 1')
    expect(render(gauge("1é.b", 1, { "2:c": "" }))).toContain('_1__b{_2_c=""} 1')
  })
})
