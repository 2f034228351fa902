import { Effect, Option, Schema } from "effect"
import { failureReasons } from "./ExportError.ts"
import { formats } from "./ExportFormat.ts"
import { type ExportState, isEnded, states } from "./ExportState.ts"

/** The hash beside an export, as any client of Redis sees it. Times are milliseconds since the epoch. */
const Metadata = Schema.Struct({
  owner: Schema.String,
  view: Schema.Literal("anonymized", "original"),
  format: Schema.Literal(...formats),
  encoding: Schema.Literal("identity", "gzip"),
  /** Bytes as they are stored. */
  bytes: Schema.NumberFromString,
  records: Schema.NumberFromString,
  segments: Schema.NumberFromString,
  segmentBytes: Schema.NumberFromString,
  createdAt: Schema.NumberFromString,
  startedAt: Schema.optional(Schema.NumberFromString),
  endedAt: Schema.optional(Schema.NumberFromString),
  /** The topic of a live export. */
  topic: Schema.optional(Schema.String),
  /** How many records are to be expected. */
  total: Schema.optional(Schema.NumberFromString),
  /** SHA-256 of the bytes in hex; absent where nobody could make it. */
  checksum: Schema.optional(Schema.String),
  error: Schema.optional(Schema.Literal(...failureReasons))
})

/** How an export is. Times are milliseconds since the epoch by the clock of Redis. */
export interface ExportStatus extends Omit<typeof Metadata.Type, "error"> {
  readonly id: string
  readonly state: ExportState
  /** Why it is `FAILED`. */
  readonly failure?: (typeof Metadata.Type)["error"]
  /** 0 to 100, when `total` is known or the export is complete. */
  readonly percent?: number
  /** Records a second, since it began to be written. */
  readonly recordsPerSecond: number
  readonly bytesPerSecond: number
  /** When all its keys will be gone; of one that runs, when they would be if it fell silent. */
  readonly expiresAt: number
}

const percentOf = (state: ExportState, { records, total }: typeof Metadata.Type): number | undefined => {
  if (state === "COMPLETED") return 100
  // A total is an estimate: what still runs is never done.
  return total === undefined || total <= 0 ? undefined : Math.min(99, Math.floor((100 * records) / total))
}

/** The answer of the scripts that describe an export: state, milliseconds left, time, names and values. */
const Described = Schema.Tuple(
  Schema.Literal(...states),
  Schema.Number,
  Schema.Number,
  Schema.Array(Schema.String)
)
const decodeDescribed = Schema.decodeUnknownOption(Described)
const decodeMetadata = Schema.decodeUnknownOption(Metadata)

const objectOf = (flat: ReadonlyArray<string>): Record<string, string> => {
  const fields: Record<string, string> = {}
  for (let at = 0; at + 1 < flat.length; at += 2) fields[flat[at] ?? ""] = flat[at + 1] ?? ""
  return fields
}

/** Reads what a script says about an export; none when there is none, or it is not of this library. */
export const fromReply = (id: string, reply: unknown): Option.Option<ExportStatus> =>
  Option.gen(function* () {
    const [state, left, now, flat] = yield* decodeDescribed(reply)
    const metadata = yield* decodeMetadata(objectOf(flat))
    const { error, ...rest } = metadata
    const until = isEnded(state) ? (rest.endedAt ?? now) : now
    const seconds = Math.max(0.001, (until - (rest.startedAt ?? until)) / 1000)
    const percent = percentOf(state, metadata)
    return {
      id,
      state,
      ...rest,
      ...(error === undefined ? {} : { failure: error }),
      ...(percent === undefined ? {} : { percent }),
      recordsPerSecond: rest.startedAt === undefined ? 0 : rest.records / seconds,
      bytesPerSecond: rest.startedAt === undefined ? 0 : rest.bytes / seconds,
      expiresAt: now + Math.max(0, left)
    }
  })

const Listed = Schema.Array(Schema.Tuple([Schema.String], Schema.Unknown))
const decodeListed = Schema.decodeUnknown(Listed)

/** Reads the answer of the script that lists exports. */
export const fromList = (reply: unknown) =>
  Effect.map(decodeListed(reply), (rows) =>
    rows.flatMap(([id, ...described]) => Option.toArray(fromReply(id, described)))
  )
