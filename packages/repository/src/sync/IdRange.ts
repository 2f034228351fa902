import { type Collection, MaxKey } from "mongodb"
import type { StoredDocument } from "../StoredDocument.ts"
import * as IdText from "./IdText.ts"

/** An id as a bound of an index: of any type that MongoDB has. */
export interface Bound {
  readonly _id: unknown
}

/** Ids in MongoDB's own order, from the first bound to before the second. Without a bound it is open at that end. */
export interface IdRange {
  readonly from: Bound | undefined
  readonly to: Bound | undefined
}

/** The first documents of a range. */
export interface Page<D> {
  readonly documents: ReadonlyArray<D>
  /** Where the rest of the range begins; undefined: there is none. */
  readonly rest: Bound | undefined
}

/** Samples for each boundary: the more, the more even are the ranges. */
const samplesPerRange = 20

const boundsOf = ({ from, to }: IdRange): object => ({
  ...(from === undefined ? {} : { min: from }),
  ...(to === undefined ? {} : { max: to })
})

/** The highest id that there can be, which a range of the index without an upper bound leaves out. */
const highest = new MaxKey()

/**
 * Reads a page, by rising `_id`. Bounds of the index, unlike `$gt`, do not pass over ids of other types. Memory is
 * bounded by a reply of the server (16 MB) as well: a page of large documents is shorter.
 */
export const read = async <D extends Bound>(
  collection: Collection<D>,
  range: IdRange,
  limit: number
): Promise<Page<D>> => {
  const cursor = collection.find(
    {},
    {
      ...boundsOf(range),
      hint: { _id: 1 },
      sort: { _id: 1 },
      limit: limit + 1,
      batchSize: limit + 1,
      readConcern: { level: "majority" },
      readPreference: "primary"
    }
  )
  try {
    const documents: Array<D> = []
    // With one document more than it holds, a page knows where the next one begins.
    while (documents.length < 2 && (await cursor.hasNext())) {
      documents.push(...(cursor.readBufferedDocuments() as unknown as Array<D>))
    }
    const isWhole = documents.length <= limit && !mayHaveMore(cursor)
    const last = documents.at(-1)
    if (!isWhole && last !== undefined) {
      return { documents: documents.slice(0, -1), rest: { _id: last._id } }
    }
    if (range.from === undefined || range.to !== undefined) return { documents, rest: undefined }
    const end = (await collection.findOne({ _id: highest } as never)) as D | null
    return { documents: end === null ? documents : [...documents, end], rest: undefined }
  } finally {
    await cursor.close()
  }
}

/** Whether the server has said that there is more to come. */
const mayHaveMore = (cursor: { readonly id?: { isZero(): boolean } | undefined }): boolean =>
  cursor.id !== undefined && !cursor.id.isZero()

/** Divides all ids into ranges of roughly the same number of documents, `count` at most. */
export const split = async (
  collection: Collection<StoredDocument>,
  count: number
): Promise<ReadonlyArray<IdRange>> => {
  const samples =
    count < 2
      ? []
      : // The server sorts them, as only it knows the order of ids of different types.
        await collection
          .aggregate<Bound>([
            { $sample: { size: count * samplesPerRange } },
            { $project: { _id: 1 } },
            { $sort: { _id: 1 } }
          ])
          .toArray()
  const distinct = samples.filter(
    ({ _id }, at) => at === 0 || IdText.keyOf(_id) !== IdText.keyOf(samples[at - 1]?._id)
  )
  const step = Math.max(1, distinct.length / count)
  const bounds: Array<Bound> = []
  for (let at = step; at < distinct.length && bounds.length < count - 1; at += step) {
    const bound = distinct[Math.floor(at)]
    if (bound !== undefined) bounds.push(bound)
  }
  return [undefined, ...bounds].map((from, at) => ({ from, to: bounds[at] }))
}
