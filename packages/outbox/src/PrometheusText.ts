import { MetricKeyType, type MetricPair, MetricState, Option } from "effect"

/** What the `Content-Type` of an answer to a scrape says. */
export const contentType = "text/plain; version=0.0.4; charset=utf-8"

type Type = "counter" | "gauge" | "histogram" | "summary"

type Label = readonly [name: string, value: string]

/** One line; its name is that of the family with a suffix. */
interface Sample {
  readonly suffix: string
  readonly extra: ReadonlyArray<Label>
  readonly value: number | bigint
}

interface Family {
  readonly type: Type
  readonly help: string | undefined
  /** The lines of each set of labels. */
  readonly series: Map<string, ReadonlyArray<string>>
}

/** Letters, digits and `_`, no digit at the start; names of metrics may have colons, too. */
const validName = (name: string, isLabel: boolean): string =>
  name.replaceAll(isLabel ? /[^a-zA-Z0-9_]/g : /[^a-zA-Z0-9_:]/g, "_").replace(/^(?=[0-9]|$)/, "_")

const escapeHelp = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")

const escapeValue = (text: string): string => escapeHelp(text).replaceAll('"', '\\"')

const numberText = (value: number | bigint): string => {
  if (value === Infinity) return "+Inf"
  return value === -Infinity ? "-Inf" : String(value)
}

/** A label that comes twice counts as it came last. */
const labelsText = (labels: ReadonlyArray<Label>): string => {
  const values = new Map(labels.map(([name, value]) => [validName(name, true), escapeValue(value)]))
  const texts = [...values].map(([name, value]) => `${name}="${value}"`).sort()
  return texts.length === 0 ? "" : `{${texts.join(",")}}`
}

/** What Effect calls a counter may fall, unless it is `incremental`; a counter of Prometheus never does. */
const typeOf = ({ metricKey: { keyType } }: MetricPair.MetricPair.Untyped): Type => {
  if (MetricKeyType.isCounterKey(keyType)) return keyType.incremental ? "counter" : "gauge"
  if (MetricKeyType.isFrequencyKey(keyType)) return "counter"
  if (MetricKeyType.isHistogramKey(keyType)) return "histogram"
  return MetricKeyType.isSummaryKey(keyType) ? "summary" : "gauge"
}

const sample = (value: number | bigint, suffix = "", extra: ReadonlyArray<Label> = []): Sample => ({
  suffix,
  extra,
  value
})

/** Effect's buckets are cumulative and end at infinity or before it. */
const histogramSamples = ({ buckets, count, sum }: MetricState.MetricState.Histogram) => [
  ...buckets
    .filter(([boundary]) => boundary !== Infinity)
    .map(([boundary, below]) => sample(below, "_bucket", [["le", numberText(boundary)]])),
  sample(count, "_bucket", [["le", "+Inf"]]),
  sample(sum, "_sum"),
  sample(count, "_count")
]

const summarySamples = ({ count, quantiles, sum }: MetricState.MetricState.Summary) => [
  ...quantiles.map(([quantile, value]) =>
    sample(
      Option.getOrElse(value, () => NaN),
      "",
      [["quantile", numberText(quantile)]]
    )
  ),
  sample(sum, "_sum"),
  sample(count, "_count")
]

const samplesOf = ({ metricState }: MetricPair.MetricPair.Untyped): ReadonlyArray<Sample> => {
  if (MetricState.isCounterState(metricState)) return [sample(metricState.count)]
  if (MetricState.isGaugeState(metricState)) return [sample(metricState.value)]
  if (MetricState.isHistogramState(metricState)) return histogramSamples(metricState)
  if (MetricState.isSummaryState(metricState)) return summarySamples(metricState)
  if (!MetricState.isFrequencyState(metricState)) return []
  return [...metricState.occurrences].map(([word, count]) => sample(count, "", [["key", word]]))
}

/** Of metrics that share a name the first says what they are, and of those that share their labels, too, it alone counts. */
const addTo = (families: Map<string, Family>, pair: MetricPair.MetricPair.Untyped): void => {
  const { description, tags } = pair.metricKey
  const name = validName(pair.metricKey.name, false)
  const type = typeOf(pair)
  const family = families.get(name) ?? { type, help: Option.getOrUndefined(description), series: new Map() }
  families.set(name, family)
  const labels = tags.map(({ key, value }): Label => [key, value])
  const id = labelsText(labels)
  if (family.type !== type || family.series.has(id)) return
  family.series.set(
    id,
    samplesOf(pair).map(
      ({ extra, suffix, value }) =>
        `${name}${suffix}${labelsText([...labels, ...extra])} ${numberText(value)}`
    )
  )
}

const familyLines = ([name, { help, series, type }]: readonly [string, Family]): ReadonlyArray<string> => [
  ...(help === undefined ? [] : [`# HELP ${name} ${escapeHelp(help)}`]),
  `# TYPE ${name} ${type}`,
  ...[...series.values()].flat()
]

/**
 * Effect's metrics (`Metric.snapshot`) in the text format of Prometheus, version 0.0.4, sorted by name. Names that
 * the format does not allow get `_` for each wrong character; a `Frequency` becomes a counter with the label `key`.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 */
export const render = (pairs: Iterable<MetricPair.MetricPair.Untyped>): string => {
  const families = new Map<string, Family>()
  for (const pair of pairs) addTo(families, pair)
  const sorted = [...families].sort(([one], [other]) => (one < other ? -1 : 1))
  return sorted
    .flatMap(familyLines)
    .map((line) => `${line}\n`)
    .join("")
}
