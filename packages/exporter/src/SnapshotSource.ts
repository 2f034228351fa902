import { Backoff } from "@twinbox/outbox"
import { Chunk, Data, Duration, Effect, Option, Schedule, Stream } from "effect"
import type { Collection, Document, Filter, FindOptions } from "mongodb"
import { type ExportRecord, versionedColumns } from "./ExportRecord.ts"

/** A document of a collection whose documents have text ids. */
export interface Stored extends Document {
  readonly _id: string
}

/** A part of a collection: ids from `from` on and before `to`, of which those up to `after` have been read. */
export interface RangePosition {
  readonly from?: string
  readonly to?: string
  readonly after?: string
  readonly isThrough?: boolean
}

export interface Options<T extends Stored> {
  readonly collection: Collection<T>
  /** Only these fields are read, with `_id` and `version`. Default: all. */
  readonly columns?: ReadonlyArray<string>
  /** What becomes of a document. Default: it stays as it is. It must leave `_id` and `version` alone. */
  readonly decode?: (stored: ExportRecord) => ExportRecord
  /** Parts that are read at the same time, at most; a small collection has fewer. Default 4. */
  readonly ranges?: number
  /** Documents read at a time. Default 500. */
  readonly pageSize?: number
  /** How long a MongoDB that is away is waited for. Default 10 seconds. */
  readonly patience?: Duration.DurationInput
  /** Goes on from where an earlier snapshot came to, in place of new ranges. */
  readonly positions?: ReadonlyArray<RangePosition>
}

/** Documents of one range, in the order of their ids, and where the range is after them. */
export interface Page {
  /** Place of the range among `positions`. */
  readonly range: number
  readonly position: RangePosition
  readonly records: Chunk.Chunk<ExportRecord>
}

/** MongoDB did not give a page, nor after some more attempts. Retryable: go on from the positions. */
export class SnapshotError extends Data.TaggedError("SnapshotError")<{ readonly cause: unknown }> {
  readonly retryable = true
  override get message() {
    return "MongoDB did not answer while a collection was read"
  }
}

export interface SnapshotSource {
  /** Where the ranges begin. */
  readonly positions: ReadonlyArray<RangePosition>
  /** About how many documents there are. */
  readonly total: number
  /** Each page with its position: keep the last one of each range to go on from there. */
  readonly pages: Stream.Stream<Page, SnapshotError>
  /** Each document once, as it was at some moment since the stream was run. */
  readonly records: Stream.Stream<ExportRecord, SnapshotError>
}

const defaults = { ranges: 4, pageSize: 500, patience: Duration.seconds(10) }
const maxRanges = 64

/** How many ids are drawn for each bound: ranges come out about equally long. */
const drawsPerRange = 32

const pauses = Backoff.between("50 millis", "1 second")

/** Reads are harmless twice, so whatever the reason, some more attempts are worth it. */
const readingWithin =
  (patience: Duration.DurationInput) =>
  <A>(read: () => Promise<A>): Effect.Effect<A, SnapshotError> =>
    Effect.retry(
      Effect.tryPromise({ try: read, catch: (cause) => new SnapshotError({ cause }) }),
      Schedule.intersect(pauses, Schedule.recurUpTo(patience))
    )

type Reading = ReturnType<typeof readingWithin>

/** Bounds between ranges, from ids drawn at random: https://www.mongodb.com/docs/manual/reference/operator/aggregation/sample/ */
const drawBounds = (reading: Reading, collection: Collection<Stored>, ranges: number) =>
  Effect.map(
    reading(() =>
      collection
        .aggregate<Stored>([
          { $sample: { size: ranges * drawsPerRange } },
          { $project: { _id: 1 } },
          { $sort: { _id: 1 } }
        ])
        .toArray()
    ),
    (drawn) => {
      const bounds: Array<string> = []
      for (let range = 1; range < ranges; range++) {
        const bound = drawn[Math.floor((range * drawn.length) / ranges)]?._id
        if (bound !== undefined && bound !== bounds.at(-1)) bounds.push(bound)
      }
      return bounds
    }
  )

const between = (bounds: ReadonlyArray<string>): ReadonlyArray<RangePosition> =>
  [undefined, ...bounds].map((from, at) => {
    const to = bounds[at]
    return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }
  })

/** The paths that a path is a part of: `a` and `a.b` of `a.b.c`. */
const enclosing = (path: string): ReadonlyArray<string> =>
  [...path.matchAll(/\./g)].map(({ index }) => path.slice(0, index))

const projectionOf = (columns: ReadonlyArray<string> | undefined) => {
  if (columns === undefined) return {}
  const fields = new Set(["_id", "version", ...columns])
  // A field of the export, not of the document.
  fields.delete(versionedColumns[2])
  // MongoDB refuses a field beside one that it is a part of.
  const whole = [...fields].filter((field) => !enclosing(field).some((outer) => fields.has(outer)))
  return { projection: Object.fromEntries(whole.map((field) => [field, 1])) }
}

/** Bounds of the index, unlike `$gt`, do not pass over ids of other types: https://www.mongodb.com/docs/manual/reference/method/cursor.min/ */
const pageOptions = ({ after, from, to }: RangePosition, pageSize: number): FindOptions => {
  const min = after ?? from
  return {
    sort: { _id: 1 },
    hint: { _id: 1 },
    limit: pageSize,
    ...(min === undefined ? {} : { min: { _id: min } }),
    ...(to === undefined ? {} : { max: { _id: to } })
  }
}

/**
 * Reads a whole collection in ranges of `_id` that go on side by side, a page at a time: no cursor stays open, at most
 * two pages of each range are in memory, and a page that fails is read again. What changes meanwhile is found as it
 * was or as it is; what comes to be behind a range's position is not found: with `live`, an export has both.
 */
export const make = <T extends Stored>(given: Options<T>): Effect.Effect<SnapshotSource, SnapshotError> =>
  Effect.gen(function* () {
    const options = { ...defaults, ...given }
    const { decode, pageSize } = options
    // The driver's type lets nobody read who does not know all fields.
    const collection = options.collection as unknown as Collection<Stored>
    const reading = readingWithin(options.patience)
    const ranges = Math.min(Math.max(1, options.ranges), maxRanges)
    const total = yield* reading(() => collection.estimatedDocumentCount())
    const positions =
      options.positions ?? between(total <= pageSize ? [] : yield* drawBounds(reading, collection, ranges))
    const projection = projectionOf(options.columns)

    // Whatever changes what another program wrote without a version comes with a higher one.
    const recordOf = (stored: Stored): ExportRecord => ({
      version: 0,
      ...(decode === undefined ? stored : decode(stored)),
      deleted: false
    })

    const pageAfter = (range: number, position: RangePosition) =>
      Effect.map(
        reading(() =>
          collection
            .find({} as Filter<Stored>, { ...pageOptions(position, pageSize), ...projection })
            .toArray()
        ),
        (stored): Page => {
          const isThrough = stored.length < pageSize
          const last = stored.at(-1)?._id
          return {
            range,
            position: { ...position, ...(last === undefined ? {} : { after: last }), isThrough },
            records: Chunk.unsafeFromArray(stored.filter(({ _id }) => _id !== position.after).map(recordOf))
          }
        }
      )

    const rangePages = (range: number, start: RangePosition) =>
      start.isThrough === true
        ? Stream.empty
        : Stream.paginateEffect(start, (position) =>
            Effect.map(pageAfter(range, position), (page) => [
              page,
              page.position.isThrough === true ? Option.none() : Option.some(page.position)
            ])
          )

    const pages = Stream.mergeAll(
      positions.map((position, range) => rangePages(range, position)),
      { concurrency: maxRanges, bufferSize: 1 }
    )
    return {
      positions,
      total,
      pages,
      records: Stream.flattenChunks(Stream.map(pages, ({ records }) => records))
    }
  })
