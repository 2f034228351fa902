import { Either, type Schema } from "effect"
import { Anonymizer, type AnonymizerError } from "./Anonymizer.ts"
import type { KeyRing } from "./KeyRing.ts"

/** What twins that were made under a key have in the place of a value. */
export interface TwinValues {
  readonly keyVersion: number
  readonly values: ReadonlyArray<unknown>
}

/**
 * What to look for in twins to find those of originals that have this value in the field at `path`, under each key of
 * a ring, the newest first. Values are as stored. Throws as `Anonymizer.twinValues` does.
 */
export type TwinLookup = (path: string, originalValue: unknown) => ReadonlyArray<TwinValues>

/** Compiles a Schema for look-ups under all keys of a ring. */
export const make = (
  schema: Schema.Schema.All,
  { keys }: KeyRing
): Either.Either<TwinLookup, AnonymizerError> =>
  Either.map(
    Either.all(keys.map((key) => Anonymizer.compile(schema, key))),
    (anonymizers) => (path, originalValue) =>
      anonymizers.map(({ keyVersion, twinValues }) => ({
        keyVersion,
        values: twinValues(path, originalValue)
      }))
  )

/** All that can stand in twins for a value, each once: for a filter with `$in`. */
export const pseudonymsOf = (
  lookup: TwinLookup,
  path: string,
  originalValue: unknown
): ReadonlyArray<unknown> => [...new Set(lookup(path, originalValue).flatMap(({ values }) => values))]
