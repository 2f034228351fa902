import type { Schema } from "effect"
import type { TwinEmail } from "./Email.ts"
import type { Pseudonym } from "./Pseudonym.ts"
import type { Sha256Base62, Sha256Hex } from "./Sha256.ts"
import type { KeepKeysTypeId, StrategyTypeId } from "./Strategy.ts"

/** What stands for a redacted value. */
export type Redaction = "[redacted]"

type Simplify<T> = { [K in keyof T]: T[K] } & {}
type Side = "Type" | "Encoded"
type Original<S, D extends Side> = D extends "Type" ? Schema.Schema.Type<S> : Schema.Schema.Encoded<S>
type Nullish<T> = Extract<T, null | undefined>

interface Hashed {
  readonly pseudonym: Pseudonym
  readonly email: TwinEmail
  readonly redact: Redaction
  readonly sha256Hex: Sha256Hex
  readonly sha256Base62: Sha256Base62
}

type Leaf<S, Name, D extends Side> = Name extends keyof Hashed
  ? Hashed[Name] | Nullish<Schema.Schema.Encoded<S>>
  : Original<S, D>

interface OptionalField {
  readonly _EncodedToken: "?:"
}

type Field<F, D extends Side> = F extends { readonly _EncodedToken: unknown; readonly from: infer S }
  ? Twin<S, D> | Nullish<Schema.Schema.Encoded<F>>
  : F extends { readonly _EncodedToken: unknown }
    ? Schema.Schema.Encoded<F>
    : Twin<F, D>

type Fields<F, D extends Side> = Simplify<
  { readonly [K in keyof F as F[K] extends OptionalField ? never : K]: Field<F[K], D> } & {
    readonly [K in keyof F as F[K] extends OptionalField ? K : never]?: Field<F[K], D>
  }
>

type Records<R, D extends Side> = R extends readonly [
  { readonly key: infer Key; readonly value: infer Value },
  ...infer Tail
]
  ? { readonly [K in Original<Key, D> & PropertyKey]: Twin<Value, D> } & Records<Tail, D>
  : unknown

type Elements<E, D extends Side> = E extends readonly [infer Head, ...infer Tail]
  ? Head extends { readonly _Token: "?"; readonly from: infer S }
    ? readonly [Twin<S, D>?, ...Elements<Tail, D>]
    : readonly [Twin<Head, D>, ...Elements<Tail, D>]
  : readonly []

type Rest<R, D extends Side> = R extends readonly [infer Head, ...infer Tail]
  ? readonly [...ReadonlyArray<Twin<Head, D>>, ...Elements<Tail, D>]
  : readonly []

type Twin<S, D extends Side> = S extends { readonly [StrategyTypeId]: infer Name }
  ? Leaf<S, Name, D>
  : S extends { readonly fields: infer F; readonly records: infer R }
    ? Simplify<Fields<F, D> & Records<R, D>>
    : S extends { readonly fields: infer F }
      ? Fields<F, D>
      : S extends { readonly members: infer Members extends ReadonlyArray<unknown> }
        ? Twin<Members[number], D>
        : S extends { readonly elements: infer E; readonly rest: infer R }
          ? readonly [...Elements<E, D>, ...Rest<R, D>]
          : S extends { readonly from: infer From }
            ? Twin<From, D>
            : IsConstant<S> extends true
              ? Schema.Schema.Encoded<S>
              : unknown

// `any` and `unknown` hold more than null and undefined, though `any` extends everything.
type IsNullish<T> = [unknown] extends [T] ? false : [T] extends [null | undefined] ? true : false

type IsConstant<S> =
  IsNullish<Schema.Schema.Encoded<S>> extends true
    ? true
    : S extends { readonly literals: readonly [unknown] }
      ? true
      : false

/** The twin of a document as a program sees it, decoded by the twin's Schema. */
export type TwinOf<S extends Schema.Schema.All> = Twin<S, "Type">

/** The twin of a document as it is stored. Pseudonyms carry their brand here too. */
export type TwinEncodedOf<S extends Schema.Schema.All> = Twin<S, "Encoded">

type Join<Path extends string, Key> = Key extends string | number
  ? Path extends ""
    ? `${Key}`
    : `${Path}.${Key}`
  : Path

type UnannotatedField<F, Path extends string> = F extends { readonly literals: readonly [unknown] }
  ? never
  : F extends { readonly _HasDefault: true; readonly _EncodedToken: ":" }
    ? IsLiteral<Schema.Schema.Encoded<F>> extends true
      ? never
      : Path
    : Unannotated<F, Path>

type IsLiteral<T> = T extends string ? (string extends T ? false : true) : false

type UnannotatedItems<Items, Path extends string> = Items extends readonly [infer Head, ...infer Tail]
  ? Unannotated<Head, `${Path}[]`> | UnannotatedItems<Tail, Path>
  : never

type UnannotatedFields<F, Path extends string> = {
  [K in keyof F]: UnannotatedField<F[K], Join<Path, K>>
}[keyof F]

type UnannotatedRecords<S, Path extends string> = S extends {
  readonly records: infer R extends readonly [unknown, ...ReadonlyArray<unknown>]
}
  ? S extends { readonly [KeepKeysTypeId]: true }
    ? {
        [K in keyof R]: R[K] extends { readonly value: infer V } ? Unannotated<V, Join<Path, "*">> : never
      }[number]
    : Path
  : never

/**
 * The paths of a Schema, as far as its type shows them, that carry no privacy annotation; `never` when there is none.
 * What hides its structure from the type, such as a bare `Schema.Schema<A>`, counts as not annotated.
 */
export type Unannotated<S, Path extends string = ""> = S extends { readonly [StrategyTypeId]: unknown }
  ? never
  : IsNullish<Schema.Schema.Encoded<S>> extends true
    ? never
    : S extends { readonly fields: infer F }
      ? UnannotatedFields<F, Path> | UnannotatedRecords<S, Path>
      : S extends { readonly members: infer Members extends ReadonlyArray<unknown> }
        ? { [K in keyof Members]: Unannotated<Members[K], Path> }[number]
        : S extends { readonly elements: infer E; readonly rest: infer R }
          ? UnannotatedItems<E, Path> | UnannotatedItems<R, Path>
          : S extends { readonly from: infer From }
            ? Unannotated<From, Path>
            : Path extends ""
              ? "(document)"
              : Path

/** Adds to a Schema's type what no Schema has, naming the fields, unless every field is annotated. */
export type FullyAnnotated<S> = [Unannotated<S>] extends [never]
  ? unknown
  : { readonly "fields without a privacy annotation": Unannotated<S> }
