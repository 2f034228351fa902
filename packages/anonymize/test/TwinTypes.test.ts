import { Either, Schema } from "effect"
import { describe, expect, expectTypeOf, it } from "vitest"
import {
  Anonymize,
  Anonymizer,
  type AnonymizerOf,
  type Pseudonym,
  type Redaction,
  type Sha256Base62,
  type Sha256Hex,
  type TwinEmail,
  type TwinEncodedOf,
  type TwinOf,
  type Unannotated
} from "../src/index.ts"
import { type Customer, keyOf } from "./Customer.ts"

const text = Schema.String.pipe(Anonymize.pseudonym)

const Everything = Schema.Struct({
  _tag: Schema.tag("Everything"),
  kind: Schema.Literal("a"),
  name: text,
  short: text.pipe(Schema.minLength(2), Schema.brand("Short")),
  email: Schema.NullOr(Schema.String).pipe(Anonymize.email({ length: 12 })),
  hex: Schema.optional(Schema.String.pipe(Anonymize.sha256Hex)),
  base62: Schema.optionalWith(Schema.String.pipe(Anonymize.sha256Base62), { exact: true }),
  note: Schema.NullishOr(Schema.String).pipe(Anonymize.redact),
  file: Schema.Struct({ size: Schema.Number }).pipe(Anonymize.redact),
  since: Schema.Date.pipe(Anonymize.keep),
  tags: Schema.Array(text),
  pair: Schema.Tuple(text, Schema.Number.pipe(Anonymize.keep)),
  union: Schema.Union(Schema.Struct({ a: text }), Schema.Number.pipe(Anonymize.keep), Schema.Null),
  record: Schema.Record({ key: Schema.String, value: text }).pipe(Anonymize.keepKeys)
})

interface ExpectedTwin<Since> {
  readonly _tag: "Everything"
  readonly kind: "a"
  readonly name: Pseudonym
  readonly short: Pseudonym
  readonly email: TwinEmail | null
  readonly hex?: Sha256Hex | undefined
  readonly base62?: Sha256Base62
  readonly note: Redaction | null | undefined
  readonly file: Redaction
  readonly since: Since
  readonly tags: ReadonlyArray<Pseudonym>
  readonly pair: readonly [Pseudonym, number]
  readonly union: { readonly a: Pseudonym } | number | null
  readonly record: { readonly [x: string]: Pseudonym }
}

describe("the types of a twin", () => {
  it("follow from the annotations, stored and decoded", () => {
    expectTypeOf<TwinOf<typeof Everything>>().toEqualTypeOf<ExpectedTwin<Date>>()
    expectTypeOf<TwinEncodedOf<typeof Everything>>().toEqualTypeOf<ExpectedTwin<string>>()
    expect(Either.isRight(Anonymizer.make(Everything, keyOf()))).toBe(true)
  })

  it("are those of the anonymizer", () => {
    type Customers = AnonymizerOf<typeof Customer>
    expectTypeOf<Parameters<Customers["anonymize"]>[0]>().toEqualTypeOf<typeof Customer.Encoded>()
    expectTypeOf<ReturnType<Customers["anonymize"]>["address"]["line2"]>().toEqualTypeOf<
      Pseudonym | undefined
    >()
    expectTypeOf<Customers["twinSchema"]["Type"]>().toEqualTypeOf<TwinOf<typeof Customer>>()
    // An original is no twin.
    expectTypeOf<typeof Customer.Encoded>().not.toExtend<TwinEncodedOf<typeof Customer>>()
  })

  it("hold for classes", () => {
    class Person extends Schema.Class<Person>("Person")({
      name: text,
      born: Schema.Date.pipe(Anonymize.keep)
    }) {}
    expectTypeOf<TwinOf<typeof Person>>().toEqualTypeOf<{ readonly name: Pseudonym; readonly born: Date }>()
    expect(Either.isRight(Anonymizer.make(Person, keyOf()))).toBe(true)
  })
})

describe("a forgotten annotation", () => {
  it("does not compile, and is an error when it runs", () => {
    const Forgotten = Schema.Struct({
      name: text,
      address: Schema.Struct({ line2: Schema.optional(Schema.NonEmptyString) }),
      tags: Schema.Array(Schema.Struct({ label: Schema.String }))
    })
    expectTypeOf<Unannotated<typeof Forgotten>>().toEqualTypeOf<"address.line2" | "tags[].label">()
    // @ts-expect-error fields without a privacy annotation: "address.line2" | "tags[].label"
    const result = Anonymizer.make(Forgotten, keyOf())
    expect(Either.isLeft(result)).toBe(true)
  })

  it("does not compile on any kind of field", () => {
    expectTypeOf<Unannotated<typeof Customer>>().toBeNever()
    const Bare = Schema.Struct({
      flag: Schema.optional(Schema.Literal(true)),
      choice: Schema.Literal("a", "b"),
      nullable: Schema.NullOr(Schema.Number),
      record: Schema.Record({ key: Schema.String, value: text }),
      values: Schema.Record({ key: Schema.String, value: Schema.String }).pipe(Anonymize.keepKeys),
      opaque: Schema.asSchema(Schema.String),
      fallback: Schema.Boolean.pipe(
        Schema.propertySignature,
        Schema.withConstructorDefault(() => true)
      ),
      date: Schema.Date,
      changed: Schema.transform(Schema.String, text, { strict: true, decode: (a) => a, encode: (a) => a }),
      tuple: Schema.Tuple(text, Schema.optionalElement(Schema.BigIntFromSelf)),
      union: Schema.Union(text, Schema.Struct({ a: Schema.Unknown })),
      anything: Schema.Any,
      mixed: Schema.Struct({ id: text }, { key: Schema.String, value: text }),
      fine: Schema.Null
    })
    expectTypeOf<Unannotated<typeof Bare>>().toEqualTypeOf<
      | "flag"
      | "choice"
      | "nullable"
      | "record"
      | "values.*"
      | "opaque"
      | "fallback"
      | "date"
      | "changed"
      | "tuple[]"
      | "union.a"
      | "anything"
      | "mixed"
    >()
  })

  it("does not compile on an optional field either, where it would be lost", () => {
    // @ts-expect-error the Schema inside takes the annotation
    expect(() => Schema.optional(Schema.String).pipe(Anonymize.keep)).toThrow(TypeError)
    // @ts-expect-error the Schema inside takes the annotation
    expect(() => Schema.optional(Schema.String).pipe(Anonymize.pseudonym)).toThrow(TypeError)
  })
})
