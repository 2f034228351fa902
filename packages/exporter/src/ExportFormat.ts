import * as Csv from "./Csv.ts"
import { type ExportRecord, valueAt } from "./ExportRecord.ts"

/** NDJSON: one JSON text per line. CSV: RFC 4180 with a header. */
export const formats = ["ndjson", "csv"] as const

export type ExportFormat = (typeof formats)[number]

/** Media types: https://github.com/ndjson/ndjson-spec and RFC 7111. */
const mediaTypes: Readonly<Record<ExportFormat, string>> = {
  ndjson: "application/x-ndjson",
  csv: "text/csv; charset=utf-8; header=present"
}

export const mediaTypeOf = (format: ExportFormat): string => mediaTypes[format]

/** Turns records into text. */
export interface Encoder {
  /** What comes before the first record. */
  readonly header: string
  /** One record, with its line end. Throws for a value that has no text in this format. */
  readonly encode: (record: ExportRecord) => string
}

const notARecord = () => new TypeError("a record is an object")

const json = (record: unknown): string => {
  if (typeof record !== "object" || record === null) throw notARecord()
  return `${JSON.stringify(record)}\n`
}

/** An encoder. With columns, paths such as `address.city` are chosen and named so; CSV needs them. */
export const encoder = (format: ExportFormat, columns?: ReadonlyArray<string>): Encoder => {
  if (columns === undefined) return { header: "", encode: json }
  const paths = columns.map((column) => ({ column, steps: column.split(".") }))
  if (format === "ndjson") {
    return {
      header: "",
      encode: (record) =>
        json(Object.fromEntries(paths.map(({ column, steps }) => [column, valueAt(record, steps)])))
    }
  }
  return {
    header: Csv.line(columns),
    encode: (record) => {
      if (typeof record !== "object" || record === null) throw notARecord()
      return Csv.line(paths.map(({ steps }) => valueAt(record, steps)))
    }
  }
}
