import { MongoCall, type MongoError, Transaction } from "@twinbox/mongodb"
import { Effect } from "effect"
import { BSON, type Collection, type FindOptions } from "mongodb"
import type { RepositoryParts } from "../RepositoryParts.ts"
import type { Current, StoredDocument, StoredTwin, Tombstone } from "../StoredDocument.ts"
import * as Difference from "./Difference.ts"
import * as IdRange from "./IdRange.ts"
import * as IdText from "./IdText.ts"

/** An id whose original and twin are not in step. */
export interface Finding {
  readonly id: unknown
  readonly difference: Exclude<Difference.Difference, { readonly _tag: "InStep" }>
  /** Size of what is stored, in bytes. */
  readonly bytes: number
  /** The version that a mirror shows, which the next one has to be above. */
  readonly above?: number | undefined
}

/** What a page of ids holds. */
export interface ComparedPage<F extends Finding = Finding> {
  /** Documents that were compared: originals, and twins without any. */
  readonly examined: number
  readonly findings: ReadonlyArray<F>
  /** Where the rest of the range begins; undefined: there is none. */
  readonly rest: IdRange.Bound | undefined
}

/**
 * Compares outside transactions, which is cheap, and right about what is in step: of a document that is written
 * meanwhile it may say that it is not. Whoever acts on a finding looks again in a transaction.
 */
export interface Comparison {
  /** Compares the first ids of a range. */
  readonly page: (range: IdRange.IdRange, limit: number) => Effect.Effect<ComparedPage, MongoError.MongoError>
  /** Compares these ids. */
  readonly ids: (ids: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<Finding>, MongoError.MongoError>
  /** Compares these ids as of one moment: what it finds is so. */
  readonly atOneMoment: (
    ids: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<Finding>, MongoError.MongoError>
}

/** What is stored about an id. */
type CurrentOf = (id: unknown) => Current

type ById<D> = ReadonlyMap<string, D>

const byId = <D extends StoredDocument | Tombstone>(documents: ReadonlyArray<D>): ById<D> =>
  new Map(documents.map((document) => [IdText.keyOf(document._id), document]))

const sizeOf = ({ original, twin }: Current): number =>
  BSON.calculateObjectSize(original ?? twin ?? {}, { ignoreUndefined: true })

/** What a majority has: what may be rolled back is compared with nothing. */
const newest: FindOptions = { readConcern: { level: "majority" }, readPreference: "primary" }

/** A page of originals with twice as many twins: more than that are without originals, and cut the page short. */
const twinsPerOriginal = 2

export const make = (
  { database, names }: Pick<RepositoryParts<never>, "database" | "names">,
  rules: Difference.Rules
): Comparison => {
  const { db } = database
  const originals = db.collection<StoredDocument>(names.originals)
  const twins = db.collection<StoredTwin>(names.twins)
  const tombstones = db.collection<Tombstone>(names.tombstones)

  const judge = (ids: ReadonlyArray<unknown>, currentOf: CurrentOf): ReadonlyArray<Finding> =>
    ids.flatMap((id) => {
      const current = currentOf(id)
      const difference = Difference.of(rules, id, current)
      return difference._tag === "InStep" ? [] : [{ id, difference, bytes: sizeOf(current) }]
    })

  const findIn = <D extends StoredDocument | Tombstone>(
    collection: Collection<D>,
    ids: ReadonlyArray<unknown>,
    options: FindOptions
  ): Promise<ReadonlyArray<D>> =>
    ids.length === 0
      ? Promise.resolve([])
      : (collection
          .find({ _id: { $in: [...ids] } } as never, { ...options, batchSize: ids.length + 1 })
          .toArray() as unknown as Promise<ReadonlyArray<D>>)

  const joined = (
    foundOriginals: ById<StoredDocument>,
    foundTwins: ById<StoredTwin>,
    foundTombstones: ById<Tombstone>
  ): CurrentOf => {
    return (id) => {
      const key = IdText.keyOf(id)
      return {
        original: foundOriginals.get(key),
        twin: foundTwins.get(key),
        tombstone: foundTombstones.get(key)
      }
    }
  }

  /** Tombstones of ids that are all within a range. Where there are few others, as usual, that is far cheaper by the range. */
  const findBuried = async (ids: ReadonlyArray<unknown>, range: IdRange.IdRange) => {
    const { documents, rest } = await IdRange.read(tombstones, range, ids.length)
    return rest === undefined ? documents : findIn(tombstones, ids, newest)
  }

  const page: Comparison["page"] = (range, limit) =>
    Effect.gen(function* () {
      const read = yield* MongoCall.attempt(() => IdRange.read(originals, range, limit))
      const upTo = { from: range.from, to: read.rest ?? range.to }
      const ids = read.documents.map(({ _id }) => _id)
      const [besides, buried] = yield* MongoCall.attempt(() =>
        Promise.all([IdRange.read(twins, upTo, limit * twinsPerOriginal), findBuried(ids, upTo)])
      )
      const found = byId(read.documents)
      const alone = besides.documents.filter(({ _id }) => !found.has(IdText.keyOf(_id)))
      const compared = [...ids, ...alone.map(({ _id }) => _id)]
      return {
        examined: compared.length,
        findings: judge(compared, joined(found, byId(besides.documents), byId(buried))),
        // Originals past the last of the twins look as if they had none, and come again with the next page.
        rest: besides.rest ?? read.rest
      }
    })

  const ids: Comparison["ids"] = (wanted) =>
    Effect.map(
      MongoCall.attempt(() =>
        Promise.all([
          findIn(originals, wanted, newest),
          findIn(twins, wanted, newest),
          findIn(tombstones, wanted, newest)
        ])
      ),
      ([foundOriginals, foundTwins, buried]) =>
        judge(wanted, joined(byId(foundOriginals), byId(foundTwins), byId(buried)))
    )

  const atOneMoment: Comparison["atOneMoment"] = (wanted) =>
    Transaction.runIn(
      database,
      Transaction.use(async (session) => {
        const foundOriginals = await findIn(originals, wanted, { session })
        const foundTwins = await findIn(twins, wanted, { session })
        const buried = await findIn(tombstones, wanted, { session })
        return judge(wanted, joined(byId(foundOriginals), byId(foundTwins), byId(buried)))
      })
    )

  return { page, ids, atOneMoment }
}
