export interface ParsedSample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface ParsedFamily {
  readonly type: string
  readonly help: string | undefined
  readonly samples: ReadonlyArray<ParsedSample>
}

const suffixes: Readonly<Record<string, ReadonlyArray<string>>> = {
  counter: [""],
  gauge: [""],
  histogram: ["_bucket", "_sum", "_count"],
  summary: ["", "_sum", "_count"]
}

const unescapeText = (text: string): string =>
  text.replaceAll(/\\(.)/gs, (_, letter: string) => {
    if (letter === "n") return "\n"
    if (letter === "\\" || letter === '"') return letter
    throw new Error(`\\${letter} is no escape`)
  })

const numberOf = (text: string): number => {
  if (text === "+Inf") return Infinity
  if (text === "-Inf") return -Infinity
  if (text === "NaN") return NaN
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) throw new Error(`${text} is no number`)
  return Number(text)
}

/** Eats the labels one by one, so that nothing between them is overlooked. */
const labelsOf = (text: string): Readonly<Record<string, string>> => {
  // Not an object yet: a label may have the name of what objects inherit.
  const labels = new Map<string, string>()
  let rest = text
  while (rest !== "") {
    const match = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)"(?:,|$)/s.exec(rest)
    if (match === null) throw new Error(`${rest} are no labels`)
    const [whole, name = "", value = ""] = match
    if (labels.has(name)) throw new Error(`the label ${name} comes twice`)
    labels.set(name, unescapeText(value))
    rest = rest.slice(whole.length)
  }
  return Object.fromEntries(labels)
}

const sampleOf = (line: string): ParsedSample => {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/s.exec(line)
  if (match === null) throw new Error(`${line} is no sample`)
  const [, name = "", labels = "", value = ""] = match
  return { name, labels: labelsOf(labels), value: numberOf(value) }
}

/** The buckets of each series of a histogram rise, and the last is that of infinity and the count. */
const checkHistogram = (name: string, samples: ReadonlyArray<ParsedSample>): void => {
  const seriesOf = ({ labels: { le: _, ...rest } }: ParsedSample) => JSON.stringify(rest)
  for (const series of new Set(samples.map(seriesOf))) {
    const own = samples.filter((sample) => seriesOf(sample) === series)
    const buckets = own.filter((sample) => sample.name === `${name}_bucket`)
    const bounds = buckets.map(({ labels }) => numberOf(labels["le"] ?? ""))
    const counts = buckets.map(({ value }) => value)
    const isRising = (values: ReadonlyArray<number>, isStrict: boolean) =>
      values.every(
        (value, at) => at === 0 || value - (values[at - 1] ?? 0) >= (isStrict ? Number.MIN_VALUE : 0)
      )
    if (bounds.slice(0, -1).includes(Infinity) || !isRising(bounds, true))
      throw new Error(`${name}: wrong bounds`)
    if (!isRising(counts, false)) throw new Error(`${name}: the buckets are not cumulative`)
    const count = own.find((sample) => sample.name === `${name}_count`)?.value
    if (bounds.at(-1) !== Infinity || counts.at(-1) !== count) throw new Error(`${name}: no bucket holds all`)
    if (!own.some((sample) => sample.name === `${name}_sum`)) throw new Error(`${name}: no sum`)
  }
}

const check = (name: string, { samples, type }: ParsedFamily): void => {
  const allowed = suffixes[type]?.map((suffix) => name + suffix)
  if (allowed === undefined) throw new Error(`${name}: ${type} is no type`)
  const identities = samples.map((sample) =>
    JSON.stringify([sample.name, Object.entries(sample.labels).sort()])
  )
  if (new Set(identities).size < identities.length) throw new Error(`${name}: a series comes twice`)
  const foreign = samples.find((sample) => !allowed.includes(sample.name))
  if (foreign !== undefined) throw new Error(`${foreign.name} stands among the lines of ${name}`)
  if (type === "counter" && samples.some(({ value }) => value < 0)) throw new Error(`${name} is below 0`)
  if (type === "histogram") checkHistogram(name, samples)
}

/**
 * Reads the text format of Prometheus, version 0.0.4, strictly and without a look at what wrote it: each family is in
 * one piece, help and type before its samples.
 */
export const parsePrometheus = (text: string): ReadonlyMap<string, ParsedFamily> => {
  const families = new Map<string, ParsedFamily & { samples: Array<ParsedSample> }>()
  if (text !== "" && !text.endsWith("\n")) throw new Error("the last line has no end")
  let help: readonly [name: string, text: string] | undefined
  let current = ""
  for (const line of text.split("\n").slice(0, -1)) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/s.exec(line)
    if (comment === null) {
      families.get(current)?.samples.push(sampleOf(line))
      if (current === "") throw new Error(`${line} comes before any type`)
      continue
    }
    const [, kind, name = "", rest = ""] = comment
    if (families.has(name)) throw new Error(`${name} comes twice`)
    if (kind === "HELP") help = [name, unescapeText(rest)]
    else {
      current = name
      families.set(name, { type: rest, help: help?.[0] === name ? help[1] : undefined, samples: [] })
    }
  }
  for (const [name, family] of families) check(name, family)
  return families
}
