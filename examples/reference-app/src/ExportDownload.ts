import { ExportFormat, ExportState, type ExportStatus } from "@twinbox/exporter"
import { Either } from "effect"
import * as ByteRange from "./ByteRange.ts"
import * as ExportProblem from "./ExportProblem.ts"
import type { Problem } from "./Problem.ts"

/** Headers of a request, as far as they decide on how its answer looks. */
export interface Headers {
  readonly range?: string | undefined
  readonly "if-range"?: string | undefined
  readonly "if-none-match"?: string | undefined
}

/** How data is answered. */
export interface Download {
  readonly status: 200 | 206 | 304
  readonly headers: Readonly<Record<string, string>>
  /** Undefined: from the first byte to the last. */
  readonly range: ByteRange.ByteRange | undefined
  /** Whether it goes on until the export has ended, so that nobody knows how long it will be. */
  readonly isFollowing: boolean
}

/** Data only grows while an export runs, and never changes afterwards: its length names what it is. */
const tagOf = ({ bytes, id, state }: ExportStatus): string | undefined =>
  ExportState.isEnded(state) ? `"${id}-${bytes}"` : undefined

/** The weak comparison: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2 */
const isNamed = (tag: string | undefined, header: string | undefined): boolean =>
  tag !== undefined &&
  header !== undefined &&
  (header.trim() === "*" || header.split(",").some((one) => one.trim().replace(/^W\//, "") === tag))

/** Of all bytes, whichever of them are sent: https://www.rfc-editor.org/rfc/rfc9530#section-3 */
const digestOf = ({ checksum }: ExportStatus): Readonly<Record<string, string>> =>
  checksum === undefined
    ? {}
    : { "repr-digest": `sha-256=:${Buffer.from(checksum, "hex").toString("base64")}:` }

const fileOf = ({ encoding, format, id }: ExportStatus) =>
  encoding === "gzip"
    ? { type: "application/gzip", name: `${id}.${format}.gz` }
    : { type: ExportFormat.mediaTypeOf(format), name: `${id}.${format}` }

/** Decides on an answer. A part of an export that runs is of what there is by now. */
export const of = (status: ExportStatus, request: Headers): Either.Either<Download, Problem> => {
  const { bytes, state } = status
  const isEnded = ExportState.isEnded(state)
  const tag = tagOf(status)
  const file = fileOf(status)
  const headers = {
    "accept-ranges": "bytes",
    "cache-control": "private, no-cache",
    "content-disposition": `attachment; filename="${file.name}"`,
    "content-type": file.type,
    "x-export-state": state,
    ...(tag === undefined ? {} : { etag: tag }),
    ...digestOf(status)
  }
  if (isNamed(tag, request["if-none-match"])) {
    return Either.right({ status: 304, headers, range: undefined, isFollowing: false })
  }
  const isRangeMeant = request["if-range"] === undefined || request["if-range"].trim() === tag
  const range = isRangeMeant ? ByteRange.of(request.range, bytes) : undefined
  if (range === "Unsatisfiable") return Either.left(ExportProblem.rangeNotSatisfiable(bytes))
  if (range === undefined) {
    const length = isEnded ? { "content-length": String(bytes) } : {}
    return Either.right({ status: 200, headers: { ...headers, ...length }, range, isFollowing: !isEnded })
  }
  const { from, to } = range
  const part = {
    "content-length": String(to - from + 1),
    "content-range": `bytes ${from}-${to}/${isEnded ? bytes : "*"}`
  }
  return Either.right({ status: 206, headers: { ...headers, ...part }, range, isFollowing: false })
}
