import { isDeepStrictEqual } from "node:util"
import { RedactedField, type TwinLookup, UnexpectedValue, UnknownField } from "@twinbox/anonymize"
import { type MongoDatabase, Transaction } from "@twinbox/mongodb"
import { type Context, Effect, Either } from "effect"
import type { Document } from "mongodb"
import * as CollectionReads from "./CollectionReads.ts"
import type { Entity } from "./DocumentCodec.ts"
import type { OriginalValues } from "./OriginalValues.ts"
import { NotSearchable, type ReadError } from "./RepositoryError.ts"

/** Reading twins. */
export interface TwinReads<Twin, I> extends CollectionReads.CollectionReads<Twin, Twin> {
  /**
   * The twins of originals that have all of these values, by their pseudonyms: under the repository's key and
   * `previousKeys`, so that none is missed while keys are rotated. An index on the twins' field serves it. Chance makes
   * different values share a pseudonym now and then (see `@twinbox/anonymize`). `NotSearchable` for a field that is
   * redacted or none, and for no values at all.
   */
  readonly findByOriginal: (
    values: OriginalValues<I, Twin>,
    options?: CollectionReads.FindOptionsOf
  ) => Effect.Effect<ReadonlyArray<Entity<Twin>>, ReadError | NotSearchable>
}

/** Names that MongoDB has in the same way; the others would have to be written in another one, or cannot. */
const isPlainPath = (path: string): boolean => path !== "" && !/[[\]*"$]/.test(path)

const problemOf = (error: unknown): string | undefined => {
  if (error instanceof UnknownField) return "is not a field of the Schema"
  if (error instanceof RedactedField) return "is redacted"
  return error instanceof UnexpectedValue ? "has the wrong type" : undefined
}

/** Conditions on one field, one for each key. `$in` takes nothing for an operator. */
const conditions = (
  lookup: TwinLookup.TwinLookup,
  path: string,
  value: unknown
): Either.Either<ReadonlyArray<Document>, string> => {
  if (!isPlainPath(path)) return Either.left("is not a field of the Schema")
  if (value === undefined) return Either.left("has no value")
  return Either.try({
    try: () => lookup(path, value).map(({ values }) => ({ [path]: { $in: values } })),
    catch: (error) => {
      const problem = problemOf(error)
      if (problem === undefined) throw error
      return problem
    }
  })
}

/** For each key the filter of its twins, each once: where no field depends on the key, there is one. */
const filters = (
  lookup: TwinLookup.TwinLookup,
  collection: string,
  values: Readonly<Record<string, unknown>>
): Either.Either<ReadonlyArray<Document>, NotSearchable> => {
  const refused = (path: string) => (problem: string) =>
    new NotSearchable({ collection, issue: { path, problem } })
  const entries = Object.entries(values)
  if (entries.length === 0) return Either.left(refused("")("has no field"))
  return Either.map(
    Either.all(
      entries.map(([path, value]) => Either.mapLeft(conditions(lookup, path, value), refused(path)))
    ),
    ([first = [], ...others]) =>
      first
        .map((condition, at): Document => Object.assign({}, condition, ...others.map((byKey) => byKey[at])))
        .filter((filter, at, all) => all.findIndex((other) => isDeepStrictEqual(other, filter)) === at)
  )
}

export const make = <Twin, I>(
  database: Context.Tag.Service<MongoDatabase.MongoDatabase>,
  reads: CollectionReads.CollectionReads<Twin, Twin>,
  lookup: TwinLookup.TwinLookup,
  collection: string
): TwinReads<Twin, I> => ({
  ...reads,
  findByOriginal: (values, options) =>
    Effect.flatMap(filters(lookup, collection, values), ([only = {}, ...others]) =>
      others.length === 0
        ? reads.find(only as never, options)
        : // As of one moment: a read that goes on while a twin changes from one key to the other could meet neither.
          Effect.mapError(
            Transaction.runIn(database, reads.find({ $or: [only, ...others] } as never, options)),
            (error) => (error._tag === "InvalidDocument" ? error : CollectionReads.toReadError(error))
          )
    )
})
