/** One measured value, and what it should be. */
export interface Figure {
  readonly name: string
  /** Undefined: it could not be measured, which misses every target. */
  readonly measured: number | undefined
  /** Left out: a ratio. */
  readonly unit?: string
  readonly atLeast?: number
  readonly atMost?: number
}

const verdict = ({ atLeast, atMost, measured }: Figure): string => {
  if (atLeast === undefined && atMost === undefined) return ""
  const isMet =
    measured !== undefined && measured >= (atLeast ?? -Infinity) && measured <= (atMost ?? Infinity)
  return isMet ? "met" : "MISSED"
}

const target = ({ atLeast, atMost, unit }: Figure): string => {
  const limits = [
    ...(atLeast === undefined ? [] : [`at least ${atLeast}`]),
    ...(atMost === undefined ? [] : [`at most ${atMost}`])
  ]
  return limits.length === 0 ? "" : [limits.join(", "), ...(unit === undefined ? [] : [unit])].join(" ")
}

const value = ({ measured, unit }: Figure): string =>
  measured === undefined ? "none" : unit === undefined ? String(measured) : `${measured} ${unit}`

/** A table for people. */
export const table = (figures: ReadonlyArray<Figure>): string => {
  const rows = [
    ["", "", "measured", "target"],
    ...figures.map((figure) => [verdict(figure), figure.name, value(figure), target(figure)])
  ]
  const widths = [0, 1, 2, 3].map((at) => Math.max(...rows.map((row) => (row[at] ?? "").length)))
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
