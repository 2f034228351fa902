import { Effect, Option, Stream } from "effect"
import { ExportError, fromRedis } from "./ExportError.ts"
import { isEnded } from "./ExportState.ts"
import type { ExportStatus } from "./ExportStatus.ts"
import type { ExportStore } from "./ExportStore.ts"

/** Bytes from the first, as they are stored; both ends included, as in an HTTP range. */
export interface ByteRange {
  /** Default 0. */
  readonly from?: number
  /** Default: to the end. */
  readonly to?: number
}

export interface Options {
  /** The most that is read at a time, and so the most that a slow reader keeps in memory. */
  readonly pageBytes: number
}

/** How often an export that runs is asked for more. */
const followPause = "100 millis"

const gone = () => new ExportError({ reason: "NotFound", detail: "it has expired" })

const isNatural = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

const invalid = () => new ExportError({ reason: "InvalidOptions", detail: "the range" })

/**
 * Reads data, a page at a time and only when the next is wanted. Of an export that runs it waits for what comes; when
 * that does not end as COMPLETED, the stream fails with `Incomplete` after the last byte.
 */
export const read = (
  store: ExportStore,
  first: ExportStatus,
  { from = 0, to = Number.MAX_SAFE_INTEGER }: ByteRange,
  { pageBytes }: Options
): Stream.Stream<Uint8Array, ExportError> => {
  if (!isNatural(from) || !isNatural(to) || to < from) return Stream.fail(invalid())
  if (isEnded(first.state) && from > 0 && from >= first.bytes) {
    return Stream.fail(new ExportError({ reason: "RangeNotSatisfiable", bytes: first.bytes }))
  }
  const { id, segmentBytes } = first
  const isFollowing = !isEnded(first.state)
  let known = first

  const page = (at: number) =>
    Effect.gen(function* () {
      const segment = Math.floor(at / segmentBytes)
      const begin = segment * segmentBytes
      const last = Math.min(at + pageBytes, begin + segmentBytes, known.bytes, to + 1) - 1
      const bytes = yield* Effect.mapError(store.read(id, segment, at - begin, last - begin), fromRedis)
      return bytes.length === last - at + 1 ? bytes : yield* gone()
    })

  /** Waits until there is a byte at a place; false when there will be none. */
  const awaitByte = (at: number) =>
    Effect.gen(function* () {
      while (at >= known.bytes) {
        if (isEnded(known.state)) {
          if (!isFollowing || known.state === "COMPLETED") return false
          return yield* new ExportError({ reason: "Incomplete", state: known.state })
        }
        const status = yield* Effect.mapError(store.status(id), fromRedis)
        if (Option.isNone(status)) return yield* gone()
        known = status.value
        if (at >= known.bytes && !isEnded(known.state)) yield* Effect.sleep(followPause)
      }
      return true
    })

  return Stream.unfoldEffect(from, (at) =>
    Effect.gen(function* () {
      if (at > to || !(yield* awaitByte(at))) return Option.none()
      const bytes = yield* page(at)
      return Option.some([bytes as Uint8Array, at + bytes.length] as const)
    })
  )
}
