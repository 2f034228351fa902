export interface Column {
  readonly title: string
  /** Default false. Numbers and ages line up at their ends. */
  readonly alignsRight?: boolean
}

/** What would move the cursor, or turn the text around, says nothing to people. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

const gap = "  "

const lengthOf = (text: string): number => [...text].length

const pad = (text: string, width: number, alignsRight: boolean): string => {
  const space = " ".repeat(Math.max(0, width - lengthOf(text)))
  return alignsRight ? space + text : text + space
}

/** Text that is safe on a terminal, in one line. */
export const printable = (text: string): string => text.replaceAll(unprintable, "\u{FFFD}")

/** Text in columns, each as wide as its widest cell; a line for the titles, then one for each row. */
export const render = (
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): string => {
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => row.map(printable))]
  const widths = columns.map((_, at) =>
    lines.reduce((widest, line) => Math.max(widest, lengthOf(line[at] ?? "")), 0)
  )
  return lines
    .map((line) =>
      columns
        .map((column, at) => pad(line[at] ?? "", widths[at] ?? 0, column.alignsRight === true))
        .join(gap)
        .trimEnd()
    )
    .join("\n")
}
