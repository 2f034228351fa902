import type { Redaction } from "@twinbox/anonymize"

type Scalar = string | number | bigint | boolean | Date

type Join<Path extends string, Name extends string> = Path extends "" ? Name : `${Path}.${Name}`

/** A field of a Record has no name that a Schema knows. */
type NamesOf<T> = { [K in keyof T]-?: K extends string ? (string extends K ? never : K) : never }[keyof T]

type FieldOf<T, K> = K extends keyof T ? T[K] : unknown

type ItemOf<T> = T extends ReadonlyArray<infer Item> ? Item : unknown

/** Paths with the values that stand there, as pairs; without those of which twins show nothing. */
type Entries<I, Twin, Path extends string> = [NonNullable<Twin>] extends [Redaction]
  ? never
  : I extends Scalar | null
    ? [Path, I]
    : I extends ReadonlyArray<infer Item>
      ? Entries<Item, ItemOf<NonNullable<Twin>>, Path>
      : I extends object
        ? { [K in NamesOf<I>]-?: Entries<I[K], FieldOf<NonNullable<Twin>, K>, Join<Path, K>> }[NamesOf<I>]
        : never

type PathOf<Entry> = Entry extends readonly [infer Path extends string, unknown] ? Path : never

type ValueOf<Entry> = Entry extends readonly [string, infer Value] ? Value : never

/**
 * Values of originals, as they are stored, by the path of their field: `{ email: "ada@example.org", "address.line1":
 * "12 Main St", tags: "first" }`. Of an array it is the value of one item. Redacted fields are left out.
 */
export type OriginalValues<I, Twin> = {
  readonly [Entry in Entries<I, Twin, ""> as PathOf<Entry>]?: ValueOf<Entry>
}
