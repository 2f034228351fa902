import { ExportFormat, ExportState, type ExportStatus } from "@twinbox/exporter"
import { Schema } from "effect"

const Moment = Schema.String.annotations({ jsonSchema: { type: "string", format: "date-time" } })

/** An export as it is answered. */
export const ExportResource = Schema.Struct({
  id: Schema.String,
  state: Schema.Literal(...ExportState.states),
  failure: Schema.optional(Schema.String).annotations({ description: "Why it is FAILED" }),
  view: Schema.Literal("anonymized", "original"),
  format: Schema.Literal(...ExportFormat.formats),
  gzip: Schema.Boolean,
  live: Schema.Boolean.annotations({ description: "Whether it goes on until somebody ends it" }),
  records: Schema.Int,
  bytes: Schema.Int.annotations({ description: "As they are stored" }),
  percent: Schema.NullOr(Schema.Int).annotations({
    description: "null: it is not known how many there will be"
  }),
  recordsPerSecond: Schema.Int,
  bytesPerSecond: Schema.Int,
  createdAt: Moment,
  endedAt: Schema.NullOr(Moment),
  expiresAt: Moment.annotations({ description: "When it is gone; later, as long as it runs" }),
  sha256: Schema.NullOr(Schema.String).annotations({ description: "Of the data as it is stored, in hex" })
}).annotations({ identifier: "Export", description: "An export, and how far it has come." })
export type ExportResource = typeof ExportResource.Type

const momentOf = (millis: number): string => new Date(millis).toISOString()

export const of = (status: ExportStatus): ExportResource => ({
  id: status.id,
  state: status.state,
  ...(status.failure === undefined ? {} : { failure: status.failure }),
  view: status.view,
  format: status.format,
  gzip: status.encoding === "gzip",
  live: status.topic !== undefined,
  records: status.records,
  bytes: status.bytes,
  percent: status.percent ?? null,
  recordsPerSecond: Math.round(status.recordsPerSecond),
  bytesPerSecond: Math.round(status.bytesPerSecond),
  createdAt: momentOf(status.createdAt),
  endedAt: status.endedAt === undefined ? null : momentOf(status.endedAt),
  expiresAt: momentOf(status.expiresAt),
  sha256: status.checksum ?? null
})

/** A dictionary of https://www.rfc-editor.org/rfc/rfc8941#section-3.2 */
const progressOf = ({ bytes, percent, records }: ExportStatus): string =>
  [...(percent === undefined ? [] : [`percent=${percent}`]), `records=${records}`, `bytes=${bytes}`].join(
    ", "
  )

/** When to come again and how far it is, as long as it runs. */
export const progressHeaders = (status: ExportStatus): Readonly<Record<string, string>> =>
  ExportState.isEnded(status.state) ? {} : { "retry-after": "1", "x-progress": progressOf(status) }
