import { type MirrorBuild, MirrorView } from "@twinbox/outbox"
import { BSON } from "mongodb"
import type * as IdRange from "./IdRange.ts"

/** A part of what a rebuild reads: a range of one of its two collections. */
export interface Place extends IdRange.IdRange {
  readonly of: "documents" | "tombstones"
}

/** As text that keeps the types of ids. */
export const toText = ({ from, of, to }: Place): string =>
  BSON.EJSON.stringify(
    { of, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) },
    { relaxed: false }
  )

/** The place that a text of `toText` means. */
export const of = (text: string): Place => {
  const { from, of, to } = BSON.EJSON.parse(text, { relaxed: false }) as Pick<Place, "of"> & Partial<Place>
  return { of, from, to }
}

/** A document of a page, and what a mirror is to show of it; undefined: it cannot be shown. */
export interface Given {
  readonly id: unknown
  readonly state: MirrorBuild.State | undefined
}

/** Bytes of payloads in one call, roughly, at most. */
const maxBytes = 4 * 1024 * 1024

/** Divides a page into what one call may have; at least one portion. */
export const portions = (page: ReadonlyArray<Given>): ReadonlyArray<ReadonlyArray<Given>> => {
  let last: Array<Given> = []
  const all = [last]
  let bytes = 0
  for (const given of page) {
    if (last.length === MirrorView.maxKeys || bytes > maxBytes) {
      all.push((last = []))
      bytes = 0
    }
    last.push(given)
    bytes += given.state?.payload?.length ?? 0
  }
  return all
}
