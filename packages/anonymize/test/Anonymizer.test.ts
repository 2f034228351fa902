import { inspect } from "node:util"
import { Either, Redacted, Schema } from "effect"
import { describe, expect, it } from "vitest"
import {
  Anonymize,
  type AnonymizerError,
  Anonymizer,
  UnannotatedField,
  UnknownField,
  UnsupportedSchema
} from "../src/index.ts"
import { ada, Customer, customers, keyOf } from "./Customer.ts"

const text = Schema.String.pipe(Anonymize.pseudonym)
const kept = Schema.String.pipe(Anonymize.keep)

const compiled = <S extends Schema.Schema.All>(schema: S) =>
  Anonymizer.compile(schema, keyOf()).pipe(Either.getOrThrowWith((error) => error))

const problem = (schema: Schema.Schema.All): AnonymizerError | undefined =>
  Either.match(Anonymizer.compile(schema, keyOf()), { onLeft: (error) => error, onRight: () => undefined })

/** Takes documents that the types would refuse: what a collection really holds is not in anybody's type. */
const raw = (schema: Schema.Schema.All) => {
  const anonymizer = compiled(schema) as unknown as {
    readonly anonymize: (document: unknown) => Record<string, unknown>
    readonly anonymizeEither: (document: unknown) => Either.Either<unknown, { readonly message: string }>
    readonly reanonymize: (previous: unknown, next: unknown, twin: unknown) => Record<string, unknown>
  }
  return anonymizer
}

const places = (schema: Schema.Schema.All) => {
  const error = problem(schema)
  if (!(error instanceof UnsupportedSchema))
    throw new Error(`expected UnsupportedSchema, found ${inspect(error)}`)
  return error.places.map(({ path, reason }) => `${path} ${reason}`)
}

const pseudonym8 = /^[0-9A-Za-z]{8}$/

describe("a twin", () => {
  const twin = customers.anonymize(ada)

  it("has pseudonyms for what is personal and copies of what is kept", () => {
    expect(twin).toEqual({
      firstName: expect.stringMatching(pseudonym8),
      lastName: expect.stringMatching(pseudonym8),
      email: expect.stringMatching(/^[0-9A-Za-z]{8}@example\.org$/),
      address: {
        line1: expect.stringMatching(pseudonym8),
        line2: expect.stringMatching(pseudonym8),
        postcode: expect.stringMatching(pseudonym8),
        city: "London",
        state: "Greater London",
        country: "GB"
      },
      tags: [expect.stringMatching(pseudonym8), expect.stringMatching(pseudonym8)],
      createdAt: ada.createdAt
    })
  })

  it("is accepted by its own Schema, the original is not", () => {
    const isTwin = Schema.is(customers.twinSchema)
    expect(isTwin(twin)).toBe(true)
    expect(isTwin(ada)).toBe(false)
    expect(isTwin({ ...twin, firstName: "Ada" })).toBe(false)
    expect(isTwin({ ...twin, email: "ada.lovelace@example.org" })).toBe(false)
    expect(isTwin({ ...twin, address: { ...twin.address, city: undefined } })).toBe(false)
  })

  it("says which key version made it and what became of every field", () => {
    expect(customers.keyVersion).toBe(1)
    expect(customers.fields.map(({ path, strategy }) => `${path} ${strategy}`)).toEqual([
      "firstName pseudonym",
      "lastName pseudonym",
      "email email",
      "address.line1 pseudonym",
      "address.line2 pseudonym",
      "address.postcode pseudonym",
      "address.city keep",
      "address.state keep",
      "address.country keep",
      "tags[] pseudonym",
      "createdAt keep"
    ])
  })

  it("has nothing that its Schema does not declare", () => {
    const extended = JSON.parse(
      JSON.stringify({ ...ada, ssn: "078-05-1120", address: { ...ada.address, geo: [51.5, -0.1] } })
    )
    extended.createdAt = ada.createdAt
    expect(raw(Customer).anonymize(extended)).toEqual(twin)
    expect(raw(Customer).reanonymize(ada, extended, { ...twin, ssn: "078-05-1120" })).toEqual(twin)
  })

  it("keeps absent, null and undefined as they are", () => {
    const { anonymize } = raw(
      Schema.Struct({ a: text, b: text, c: text, d: Schema.String.pipe(Anonymize.redact) })
    )
    expect(anonymize({ a: null, b: undefined, d: null })).toStrictEqual({ a: null, b: undefined, d: null })
  })

  it("is made of the stored side of the Schema", () => {
    const Stored = Schema.Struct({
      born: Schema.Date.pipe(Anonymize.pseudonym),
      since: Schema.Date.pipe(Anonymize.keep),
      seen: Schema.optionalWith(kept, { default: () => "never" }),
      name: Schema.Trim.pipe(Anonymize.pseudonym),
      nick: Schema.transform(text, Schema.String, { strict: true, decode: (a) => a, encode: (a) => a })
    })
    const anonymizer = compiled(Stored)
    const result = anonymizer.anonymize({ born: "1815-12-10", since: "2024-02-29", name: " Ada ", nick: "A" })
    expect(result).toStrictEqual({
      born: expect.stringMatching(pseudonym8),
      since: "2024-02-29",
      name: expect.stringMatching(pseudonym8),
      nick: expect.stringMatching(pseudonym8)
    })
    const decoded = Schema.decodeSync(anonymizer.twinSchema)(result)
    expect(decoded.since).toEqual(new Date("2024-02-29"))
    expect(Schema.encodeSync(anonymizer.twinSchema)(decoded)).toEqual({
      ...result,
      since: "2024-02-29T00:00:00.000Z"
    })
  })
})

describe("values", () => {
  it("of every scalar kind have a pseudonym, that of their text", () => {
    const scope = { scope: "same" }
    const Scalars = Schema.Struct({
      text: Schema.String.pipe(Anonymize.pseudonym(scope)),
      number: Schema.Number.pipe(Anonymize.pseudonym(scope)),
      bigint: Schema.BigIntFromSelf.pipe(Anonymize.pseudonym(scope)),
      boolean: Schema.Boolean.pipe(Anonymize.pseudonym(scope)),
      date: Schema.DateFromSelf.pipe(Anonymize.pseudonym(scope))
    })
    const { anonymize } = compiled(Scalars)
    const rest = { bigint: 12n, boolean: true, date: new Date(0) }
    const one = anonymize({ text: "12", number: 12, ...rest })
    expect(one.number).toBe(one.text)
    expect(one.bigint).toBe(one.text)
    expect(anonymize({ text: "true", number: -0, ...rest }).text).toBe(one.boolean)
    expect(anonymize({ text: "1970-01-01T00:00:00.000Z", number: 0, ...rest }).text).toBe(one.date)
    expect(anonymize({ text: "", number: -0, ...rest }).number).toBe(
      anonymize({ text: "", number: 0, ...rest }).number
    )
    const invalid = anonymize({
      text: "Invalid Date",
      number: Number.NaN,
      ...rest,
      date: new Date(Number.NaN)
    })
    expect(invalid.date).toBe(invalid.text)
  })

  it("of another shape than declared are refused without being shown", () => {
    const { anonymize, anonymizeEither } = raw(Customer)
    const secret = "Ada Lovelace, personally"
    for (const [document, message] of [
      [{ firstName: { secret } }, "firstName: expected text, a number, a boolean or a date, found object"],
      [{ firstName: [secret] }, "firstName: expected text, a number, a boolean or a date, found an array"],
      [{ address: secret }, "address: expected an object, found string"],
      [{ address: { city: { secret } } }, "address.city: expected string, found object"],
      [{ tags: secret }, "tags: expected an array, found string"],
      [{ createdAt: secret }, "createdAt: expected date, found string"],
      [secret, "(document): expected an object, found string"],
      [null, "(document): expected an object, found null"]
    ] as const) {
      expect(() => anonymize(document)).toThrow(message)
      expect(Either.flip(anonymizeEither(document)).pipe(Either.getOrThrow)).toMatchObject({
        _tag: "UnexpectedValue",
        message
      })
    }
  })

  it("named like parts of every object do no harm", () => {
    const Odd = Schema.Struct({
      ["__proto__"]: text,
      constructor: text,
      toString: Schema.optional(kept),
      inner: Schema.Record({ key: Schema.String, value: text }).pipe(Anonymize.keepKeys)
    })
    const { anonymize, reanonymize } = raw(Odd)
    const document: unknown = JSON.parse(
      '{"__proto__":"a","constructor":"b","inner":{"__proto__":"c","x":"d"}}'
    )
    for (const twin of [anonymize(document), reanonymize(document, document, anonymize(document))]) {
      expect(Object.getPrototypeOf(twin)).toBe(Object.prototype)
      expect(Object.keys(twin)).toEqual(["__proto__", "constructor", "inner"])
      expect(Object.keys(twin["inner"] ?? {})).toEqual(["__proto__", "x"])
      expect(JSON.stringify(twin)).toMatch(
        /^\{"__proto__":"\w{8}","constructor":"\w{8}","inner":\{"__proto__":"\w{8}","x":"\w{8}"\}\}$/
      )
    }
    expect(anonymize({})).toStrictEqual({})
  })
})

describe("strategies", () => {
  it("redact replaces a value or a whole struct by a fixed text", () => {
    const Notes = Schema.Struct({
      note: Schema.String.pipe(Anonymize.redact),
      file: Schema.Struct({ name: Schema.String, bytes: Schema.Array(Schema.Number) }).pipe(Anonymize.redact),
      gone: Schema.NullOr(Schema.Unknown).pipe(Anonymize.redact)
    })
    const anonymizer = compiled(Notes)
    const twin = anonymizer.anonymize({ note: "x", file: { name: "y", bytes: [1] }, gone: null })
    expect(twin).toEqual({ note: "[redacted]", file: "[redacted]", gone: null })
    expect(anonymizer.matches("note", "x", "[redacted]")).toBe(false)
    expect(Schema.is(anonymizer.twinSchema)({ ...twin, file: { name: "y" } })).toBe(false)
  })

  it("keep on a struct covers its inside, and only what is declared there", () => {
    const Plan = Schema.Struct({
      name: Schema.String,
      since: Schema.Date,
      prices: Schema.Array(Schema.Struct({ amount: Schema.Number })),
      labels: Schema.Record({ key: Schema.String, value: Schema.Literal("a", "b") })
    })
    const anonymizer = compiled(Schema.Struct({ plan: Plan.pipe(Anonymize.keep) }))
    const plan = { name: "pro", since: "2024-02-29", prices: [{ amount: 1 }], labels: { x: "a" as const } }
    const extended = { ...plan, ssn: "1", prices: [{ amount: 1, ssn: "1" }] }
    expect(anonymizer.anonymize({ plan: extended })).toStrictEqual({ plan })
    expect(Schema.decodeSync(anonymizer.twinSchema)({ plan }).plan.since).toEqual(new Date("2024-02-29"))
    expect(anonymizer.matches("plan.name", "pro", "pro")).toBe(true)
    expect(anonymizer.matches("plan.name", "pro", "free")).toBe(false)
  })

  it("without a key give what anyone can compute", () => {
    const { anonymize, matches } = compiled(
      Schema.Struct({
        a: Schema.String.pipe(Anonymize.sha256Hex),
        b: Schema.String.pipe(Anonymize.sha256Base62)
      })
    )
    const twin = anonymize({ a: "Ada", b: "Ada" })
    expect(twin.a).toMatch(/^[0-9a-f]{8}$/)
    expect(twin.b).toMatch(pseudonym8)
    expect(matches("a", "Ada", twin.a) && matches("b", "Ada", twin.b)).toBe(true)
    expect(matches("a", "Eve", twin.a) || matches("b", "Eve", twin.b)).toBe(false)
  })

  it("share pseudonyms under a shared scope only", () => {
    const { anonymize } = compiled(
      Schema.Struct({
        first: Schema.String.pipe(Anonymize.pseudonym({ scope: "name" })),
        second: Schema.String.pipe(Anonymize.pseudonym({ scope: "name" })),
        third: text
      })
    )
    const twin = anonymize({ first: "Ada", second: "Ada", third: "Ada" })
    expect(twin.first).toBe(twin.second)
    expect(twin.third).not.toBe(twin.first)
  })

  it("have the length that was asked for", () => {
    const Long = Schema.Struct({
      name: Schema.String.pipe(Anonymize.pseudonym({ length: 12 })),
      email: Schema.String.pipe(Anonymize.email({ length: 22 }))
    })
    const anonymizer = compiled(Long)
    const twin = anonymizer.anonymize({ name: "Ada", email: "ada@example.org" })
    expect(twin.name).toMatch(/^[0-9A-Za-z]{12}$/)
    expect(twin.email).toMatch(/^[0-9A-Za-z]{22}@example\.org$/)
    expect(Schema.is(anonymizer.twinSchema)(twin)).toBe(true)
    expect(Schema.is(anonymizer.twinSchema)({ ...twin, name: "abcdefgh" })).toBe(false)
  })

  it("stay when filters, brands and optionality are added", () => {
    const { fields } = compiled(
      Schema.Struct({
        a: text.pipe(Schema.minLength(3), Schema.brand("A")),
        b: Schema.optional(text),
        c: Schema.optionalWith(text, { exact: true }),
        d: Schema.optionalWith(text, { nullable: true, as: "Option" }),
        e: Schema.NullOr(text),
        f: Schema.NullishOr(text).pipe(Schema.optional),
        g: Schema.NullOr(Schema.String).pipe(Anonymize.pseudonym),
        h: Schema.propertySignature(text).pipe(Schema.fromKey("stored"))
      })
    )
    expect(fields.map(({ path, scope }) => path === scope && path)).toEqual([..."abcdefg", "stored"])
  })

  it("change the fingerprint of the anonymizer when they change", () => {
    const prints = [
      Schema.Struct({ a: text }),
      Schema.Struct({ b: text }),
      Schema.Struct({ a: kept }),
      Schema.Struct({ a: Schema.String.pipe(Anonymize.pseudonym({ length: 9 })) }),
      Schema.Struct({ a: Schema.String.pipe(Anonymize.pseudonym({ scope: "b" })) })
    ].map((schema) => compiled(schema).fingerprint)
    expect(new Set(prints).size).toBe(prints.length)
    expect(compiled(Schema.Struct({ a: text, b: kept })).fingerprint).toBe(
      compiled(Schema.Struct({ b: kept, a: text })).fingerprint
    )
  })
})

describe("shapes", () => {
  it("tuples and arrays of arrays: places have scopes of their own, items share one", () => {
    const anonymizer = compiled(
      Schema.Struct({
        pair: Schema.Tuple(text, Schema.optionalElement(kept)),
        grid: Schema.Array(Schema.Array(text)),
        some: Schema.NonEmptyArray(text),
        mixed: Schema.Tuple([kept], text, kept)
      })
    )
    const twin = anonymizer.anonymize({
      pair: ["a", "b"],
      grid: [["a"], ["a", "b"]],
      some: ["a", "a"],
      mixed: ["x", "a", "a", "y"]
    })
    expect(twin.pair[1]).toBe("b")
    expect(twin.grid[0]?.[0]).toBe(twin.grid[1]?.[0])
    expect(twin.some[0]).toBe(twin.some[1])
    expect(twin.mixed[0] + String(twin.mixed.at(-1))).toBe("xy")
    expect(twin.mixed[1]).toBe(twin.mixed[2])
    expect(Schema.is(anonymizer.twinSchema)(twin)).toBe(true)
    expect(anonymizer.matches("grid[][]", "a", twin.grid[0]?.[0])).toBe(true)
    expect(anonymizer.matches("pair[0]", "a", twin.pair[0])).toBe(true)
    expect(raw(Schema.Struct({ pair: Schema.Tuple(kept) })).anonymize({ pair: ["a", "ssn"] })).toEqual({
      pair: ["a"]
    })
  })

  it("unions of structs go by the field that tells them apart", () => {
    const Person = Schema.Struct({ kind: Schema.Literal("person"), name: text })
    const Company = Schema.Struct({ kind: Schema.Literal("company", "club"), name: kept }).annotations({})
    const Owner = Schema.Struct({
      owner: Schema.Union(
        Person,
        Schema.Struct({ ...Company.fields, kind: Company.fields.kind.pipe(Anonymize.keep) })
      )
    })
    const anonymizer = compiled(Owner)
    // A kept name that looks like a pseudonym must not pass for one when the club turns into a person.
    const person = { owner: { kind: "person" as const, name: "Margaret" } }
    const club = { owner: { kind: "club" as const, name: "Margaret" } }
    expect(anonymizer.anonymize(club)).toEqual(club)
    expect(anonymizer.anonymize(person).owner).toEqual({
      kind: "person",
      name: expect.stringMatching(pseudonym8)
    })
    expect(anonymizer.reanonymize(club, person, club)).toEqual(anonymizer.anonymize(person))
    expect(() => raw(Owner).anonymize({ owner: { kind: "ghost", name: "Ada" } })).toThrow(
      "a member of the union"
    )
    expect(() => raw(Owner).anonymize({ owner: { name: "Ada" } })).toThrow("a member of the union")
  })

  it("unions of structs go by a required field that only one of them has", () => {
    const Long = Schema.Struct({ firstName: text, email: text.pipe(Anonymize.keep), note: kept })
    const Short = Schema.Struct({ name: text, note: text })
    const anonymizer = compiled(Schema.Union(Long, Short))
    const long = { firstName: "Margaret", email: "m@example.com", note: "Margaret" }
    const short = { name: "Margaret", note: "Margaret" }
    expect(anonymizer.anonymize(long)).toEqual({ ...long, firstName: expect.stringMatching(pseudonym8) })
    expect(anonymizer.anonymize(short)).toEqual({
      name: expect.stringMatching(pseudonym8),
      note: expect.stringMatching(pseudonym8)
    })
    // What was kept as a long one must not pass for a pseudonym in a short one.
    expect(anonymizer.reanonymize(long, short, anonymizer.anonymize(long))).toEqual(
      anonymizer.anonymize(short)
    )
    expect(() => raw(Schema.Union(Long, Short)).anonymize({ note: "Margaret" })).toThrow(
      "a member of the union"
    )
  })

  it("a field that may be absent, or that a record may have, tells no structs apart", () => {
    const Open = Schema.Struct(
      { a: Schema.String },
      Schema.Record({ key: Schema.String, value: Schema.String })
    ).pipe(Anonymize.keep)
    expect(
      places(
        Schema.Struct({
          absent: Schema.Union(
            Schema.Struct({ a: Schema.optional(text) }),
            Schema.Struct({ b: Schema.UndefinedOr(text) })
          ),
          half: Schema.Union(Schema.Struct({ a: text, b: text }), Schema.Struct({ a: kept })),
          record: Schema.Union(Schema.Struct({ b: text }), Open)
        })
      )
    ).toEqual(["absent AmbiguousUnion", "half AmbiguousUnion", "record AmbiguousUnion"])
  })

  it("unions of kinds go by the kind", () => {
    const { anonymize } = compiled(
      Schema.Struct({
        x: Schema.Union(text, Schema.Array(text), Schema.Number.pipe(Anonymize.keep), Schema.Null)
      })
    )
    expect(anonymize({ x: "a" }).x).toMatch(pseudonym8)
    expect(anonymize({ x: ["a"] }).x).toEqual([anonymize({ x: "a" }).x])
    expect([anonymize({ x: 1 }).x, anonymize({ x: null }).x]).toEqual([1, null])
  })

  it("records keep their keys when they are declared harmless, beside declared fields too", () => {
    const Attributes = Schema.Struct(
      { id: kept },
      { key: Schema.TemplateLiteral("x-", Schema.String), value: text }
    )
    const anonymizer = compiled(Schema.Struct({ attributes: Attributes.pipe(Anonymize.keepKeys) }))
    const twin = anonymizer.anonymize({ attributes: { id: "1", "x-name": "Ada" } })
    expect(twin).toEqual({ attributes: { id: "1", "x-name": expect.stringMatching(pseudonym8) } })
    expect(anonymizer.matches("attributes.*", "Ada", twin.attributes["x-name"])).toBe(true)
    expect(
      raw(Schema.Struct({ attributes: Attributes.pipe(Anonymize.keepKeys) })).anonymize({
        attributes: { ssn: "1" }
      })
    ).toEqual({ attributes: {} })
  })

  it("classes and tagged structs", () => {
    class Person extends Schema.TaggedClass<Person>()("Person", {
      name: text,
      home: Schema.Struct({ city: kept })
    }) {}
    const anonymizer = compiled(Person)
    const stored = { _tag: "Person", name: "Ada", home: { city: "London" } } as const
    expect(anonymizer.anonymize(stored)).toEqual({ ...stored, name: expect.stringMatching(pseudonym8) })
    expect(() => raw(Person).anonymize({ ...stored, _tag: "Ada" })).toThrow(
      "_tag: expected the constant of the Schema"
    )
    const Kept = compiled(Schema.Struct({ person: Person.pipe(Anonymize.redact) }))
    expect(Kept.anonymize({ person: stored })).toEqual({ person: "[redacted]" })
  })

  it("names that look like paths are no other field's path or scope", () => {
    const { fields } = compiled(
      Schema.Struct({
        "a.b": text,
        a: Schema.Struct({ b: text, "": text, "x\0y": text, é: text }),
        "a[]": text
      })
    )
    expect(fields.map(({ scope }) => scope)).toEqual([
      '["a.b"]',
      "a.b",
      'a[""]',
      String.raw`a["x\u0000y"]`,
      "a.é",
      '["a[]"]'
    ])
  })
})

describe("a Schema that says too little", () => {
  it("is refused with every path that lacks an annotation", () => {
    const error = problem(
      Schema.Struct({
        name: Schema.String,
        ok: text,
        address: Schema.Struct({ line1: text, line2: Schema.optional(Schema.NonEmptyString) }),
        tags: Schema.Array(Schema.Struct({ label: Schema.String })),
        pair: Schema.Tuple(Schema.Number, text),
        either: Schema.Union(Schema.Number, Schema.Struct({ born: Schema.Date })),
        flag: Schema.optional(Schema.Literal(true)),
        exact: Schema.optionalWith(Schema.Literal(true), { exact: true }),
        choice: Schema.Literal("a", "b"),
        json: Schema.parseJson(Schema.Struct({ a: text })),
        any: Schema.Unknown,
        values: Schema.Record({ key: Schema.String, value: Schema.String }).pipe(Anonymize.keepKeys)
      })
    )
    expect(error).toBeInstanceOf(UnannotatedField)
    expect(error).toMatchObject({
      paths: [
        "name",
        "address.line2",
        "tags[].label",
        "pair[0]",
        "either",
        "either.born",
        "flag",
        "exact",
        "choice",
        "json",
        "any",
        "values.*"
      ]
    })
    expect(error?.message).toContain("address.line2, tags[].label")
  })

  it("is refused also where it says something too often", () => {
    expect(
      places(
        Schema.Struct({
          inside: Schema.Struct({ a: text }).pipe(Anonymize.keep),
          deep: Schema.Array(Schema.Struct({ a: Schema.optional(text) })).pipe(Anonymize.keep),
          twice: text.pipe(Schema.minLength(2), Anonymize.keep),
          both: kept.pipe(Schema.minLength(2), Anonymize.pseudonym)
        })
      )
    ).toEqual(["inside.a Conflict", "deep[].a Conflict", "twice Conflict", "both Conflict"])
  })

  it("takes the last of two annotations on one Schema", () => {
    expect(compiled(Schema.Struct({ a: text.pipe(Anonymize.keep) })).fields[0]?.strategy).toBe("keep")
  })

  it("is refused where nothing sensible can be done", () => {
    interface Node {
      readonly children: ReadonlyArray<Node>
    }
    const Tree = Schema.Struct({ children: Schema.Array(Schema.suspend((): Schema.Schema<Node> => Tree)) })
    expect(
      places(
        Schema.Struct({
          struct: Schema.Struct({ a: text }).pipe(Anonymize.pseudonym),
          array: Schema.Array(Schema.String).pipe(Anonymize.email),
          bytes: Schema.Uint8ArrayFromSelf.pipe(Anonymize.pseudonym),
          unknown: Schema.Unknown.pipe(Anonymize.sha256Hex),
          record: Schema.Record({ key: Schema.String, value: text }),
          union: Schema.Union(Schema.Struct({ a: text }), Schema.Struct({ a: kept })),
          texts: Schema.Union(text, kept),
          tree: Tree,
          empty: Schema.String.pipe(Anonymize.pseudonym({ scope: "" })),
          nul: Schema.String.pipe(Anonymize.pseudonym({ scope: "a\0b" })),
          short: Schema.String.pipe(Anonymize.pseudonym({ length: 3 })),
          long: Schema.String.pipe(Anonymize.email({ length: 23 })),
          half: Schema.String.pipe(Anonymize.email({ length: 8.5 }))
        })
      )
    ).toEqual([
      "struct NotScalar",
      "array NotScalar",
      "bytes NotScalar",
      "unknown NotScalar",
      "record RecordKeys",
      "union AmbiguousUnion",
      "texts AmbiguousUnion",
      "tree.children[] Recursive",
      "empty Options",
      "nul Options",
      "short Options",
      "long Options",
      "half Options"
    ])
  })

  it.each([
    ["text", text],
    ["an array", Schema.Array(text)],
    ["something redacted as a whole", Schema.Struct({}).pipe(Anonymize.redact)],
    ["something that may be null", Schema.NullOr(Schema.Struct({ a: text }))]
  ])("is refused as a document when it is %s", (_, schema) => {
    expect(places(schema)).toEqual(["(document) NotADocument"])
  })

  it("cannot be annotated on an optional field instead of its Schema", () => {
    const misuse = Anonymize.pseudonym as (target: unknown) => unknown
    expect(() => misuse(Schema.optional(Schema.String))).toThrow(TypeError)
  })
})

describe("reanonymize", () => {
  const sentinel: typeof customers.anonymize extends (document: never) => infer T ? T : never =
    Schema.decodeUnknownSync(customers.twinSchema)({
      firstName: "SENTINEL",
      lastName: "SENTINEL",
      email: "SENTINEL@example.org",
      address: { ...ada.address, line1: "SENTINEL", line2: "SENTINEL", postcode: "SENTINEL" },
      tags: ["SENTINEL", "SENTINEL"],
      createdAt: ada.createdAt
    })
  const fresh = customers.anonymize(ada)

  it("hashes nothing when nothing changed", () => {
    expect(customers.reanonymize(ada, ada, sentinel)).toEqual(sentinel)
    expect(customers.reanonymize(ada, structuredClone(ada), sentinel)).toEqual(sentinel)
  })

  it("hashes a changed field inside an object and leaves its neighbours", () => {
    const previous = { ...ada, address: { ...ada.address, line1: "elsewhere" } }
    const expected = { ...sentinel, address: { ...sentinel.address, line1: fresh.address.line1 } }
    expect(customers.reanonymize(previous, ada, sentinel)).toEqual(expected)
  })

  it("compares arrays by index, longer and shorter ones too", () => {
    const [first, second] = fresh.tags
    const tagsOf = (tags: ReadonlyArray<string>) =>
      customers.reanonymize({ ...ada, tags }, ada, sentinel).tags
    expect(tagsOf(["other", "pays-late"])).toEqual([first, "SENTINEL"])
    expect(tagsOf(["first customer"])).toEqual(["SENTINEL", second])
    expect(tagsOf(["pays-late", "first customer"])).toEqual([first, second])
    expect(customers.reanonymize(ada, { ...ada, tags: ["first customer"] }, sentinel).tags).toEqual([
      "SENTINEL"
    ])
  })

  it("follows fields that come and go", () => {
    const { line2: _, ...short } = ada.address
    const without = { ...ada, address: short }
    expect(customers.reanonymize(without, ada, sentinel).address.line2).toBe(fresh.address.line2)
    expect(customers.reanonymize(ada, without, sentinel).address).not.toHaveProperty("line2")
  })

  it("copies kept values from the new original, never from the earlier twin", () => {
    const moved = { ...ada, address: { ...ada.address, city: "Paris" } }
    expect(customers.reanonymize(ada, moved, sentinel).address.city).toBe("Paris")
    expect(customers.reanonymize(moved, moved, sentinel).address.city).toBe("Paris")
  })

  it("does not carry on what cannot be a pseudonym", () => {
    const leaking = {
      ...sentinel,
      firstName: "Ada-Maria",
      email: "ada.lovelace@example.org",
      tags: ["first customer", 5],
      address: null
    }
    expect(raw(Customer).reanonymize(ada, ada, leaking)).toEqual({ ...fresh, lastName: "SENTINEL" })
    const elsewhere = { ...sentinel, email: "SENTINEL@elsewhere.org" }
    expect(raw(Customer).reanonymize(ada, ada, elsewhere)).toMatchObject({ email: fresh.email })
    expect(raw(Customer).reanonymize(ada, ada, null)).toEqual(fresh)
    expect(raw(Customer).reanonymize(null, ada, sentinel)).toEqual(fresh)
  })

  it("knows a date by its time, not by its object", () => {
    const Born = Schema.Struct({ born: Schema.DateFromSelf.pipe(Anonymize.pseudonym) })
    const { reanonymize } = raw(Born)
    const twin = { born: "SENTINEL" }
    expect(reanonymize({ born: new Date(5) }, { born: new Date(5) }, twin)).toEqual(twin)
    expect(reanonymize({ born: new Date(5) }, { born: new Date(6) }, twin)).not.toEqual(twin)
  })
})

describe("matches", () => {
  const twin = customers.anonymize(ada)

  it("finds the twin's value of an original's value, by path", () => {
    expect(customers.matches("address.line1", ada.address.line1, twin.address.line1)).toBe(true)
    expect(customers.matches("address.line1", `${ada.address.line1} `, twin.address.line1)).toBe(false)
    expect(customers.matches("address.postcode", ada.address.line1, twin.address.line1)).toBe(false)
    expect(customers.matches("tags", "pays-late", twin.tags[1])).toBe(true)
    expect(customers.matches("tags[]", "pays-late", twin.tags[1])).toBe(true)
    expect(customers.matches("createdAt", new Date(ada.createdAt), twin.createdAt)).toBe(true)
  })

  it("takes an e-mail twin as a whole or its pseudonym alone", () => {
    expect(customers.matches("email", ada.email, twin.email)).toBe(true)
    expect(customers.matches("email", ada.email, twin.email.slice(0, 8))).toBe(true)
    expect(customers.matches("email", ada.email, `${twin.email.slice(0, 8)}@elsewhere.org`)).toBe(false)
    expect(customers.matches("email", "eve@example.org", twin.email)).toBe(false)
  })

  it("is false for values that no twin has, and null matches null only", () => {
    for (const value of [undefined, null, 5, "", "ä".repeat(8), {}, []]) {
      expect(customers.matches("firstName", ada.firstName, value)).toBe(false)
    }
    expect(customers.matches("firstName", { name: "Ada" }, twin.firstName)).toBe(false)
    expect(customers.matches("firstName", null, null)).toBe(true)
    expect(customers.matches("firstName", null, twin.firstName)).toBe(false)
  })

  it("throws for a path that is no field", () => {
    for (const path of ["adress.line1", "__proto__", "constructor", ""]) {
      expect(() => customers.matches(path, "x", "y")).toThrow(UnknownField)
    }
  })
})

describe("printing an anonymizer", () => {
  it("shows no secret", () => {
    const printed = inspect(
      { customers, key: keyOf(), secret: Redacted.make("x") },
      { depth: 12, showHidden: true }
    )
    expect(printed).not.toMatch(/9f1c5a7b|169, 42, 108, 77/)
  })
})
