/**
 * Values by which records can be looked up, by the name of the index: `{ email: "ada@example.org" }`. It gets
 * whatever JSON is stored, so it must not fail. A document without a value is not in that index.
 */
export type Indexes = (document: unknown) => Readonly<Record<string, string | undefined>>

/** The longest value that is indexed, in UTF-16 code units; a document with a longer one is not in that index. */
export const maxValueLength = 1024

/** A NUL ends the value in a member of the index. */
const isIndexable = (value: string | undefined): value is string =>
  value !== undefined && value !== "" && value.length <= maxValueLength && !value.includes("\0")

/** Names and values in turn, as the scripts take them. */
export const pairs = (indexes: Indexes, document: unknown): ReadonlyArray<string> =>
  Object.entries(indexes(document)).flatMap(([name, value]) => (isIndexable(value) ? [name, value] : []))

/** A part of a listing, in the terms of ZRANGEBYLEX: members in the order of their bytes, rising. */
export interface Range {
  readonly min: string
  readonly max: string
  /** How many bytes of a member stand before the id. */
  readonly idAt: number
}

/** All ids after a given one. */
export const idsAfter = (after: string | undefined): Range => ({
  min: after === undefined ? "-" : `(${after}`,
  max: "+",
  idAt: 0
})

/** The ids with one value after a given one. */
export const valuesAfter = (value: string, after: string | undefined): Range => ({
  min: after === undefined ? `[${value}\0` : `(${value}\0${after}`,
  max: `(${value}\u0001`,
  idAt: Buffer.byteLength(value) + 1
})

/** Whether anything can be found under a value. */
export const canBeFound = isIndexable
