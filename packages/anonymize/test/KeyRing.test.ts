import { ConfigProvider, Effect, Either, FastCheck as fc, Schema } from "effect"
import { inspect } from "node:util"
import { describe, expect, it } from "vitest"
import {
  Anonymize,
  Anonymizer,
  KeyRing,
  RedactedField,
  TwinLookup,
  UnexpectedValue,
  UnknownField
} from "../src/index.ts"
import { keyOf, otherSecretText, secretText } from "./Customer.ts"

const thirdSecretText = "c1a39be06f42785d8b5e0c4d6a17f2930b2d47f6a1e85c39d07b64f2e91ac835"

const Shared = Schema.String.pipe(Anonymize.pseudonym({ scope: "name", length: 12 }))

const Person = Schema.Struct({
  name: Shared,
  nickname: Schema.optional(Shared),
  email: Schema.String.pipe(Anonymize.email),
  birthday: Schema.NullOr(Schema.DateFromSelf.pipe(Anonymize.pseudonym)),
  age: Schema.Number.pipe(Anonymize.pseudonym),
  legacy: Schema.String.pipe(Anonymize.sha256Hex),
  city: Schema.String.pipe(Anonymize.keep),
  password: Schema.String.pipe(Anonymize.redact),
  address: Schema.Struct({ line1: Schema.String.pipe(Anonymize.pseudonym) }),
  tags: Schema.Array(Schema.String.pipe(Anonymize.pseudonym))
})

const newest = keyOf(secretText, 7)
const middle = keyOf(otherSecretText, 4)
const oldest = keyOf(thirdSecretText, 2)
const ring = Either.getOrThrow(KeyRing.make(newest, [oldest, middle]))
const lookup = Either.getOrThrow(TwinLookup.make(Person, ring))
const anonymizers = [newest, middle, oldest].map((key) => Either.getOrThrow(Anonymizer.make(Person, key)))

const text = fc.oneof(fc.string(), fc.string({ unit: "grapheme" }), fc.emailAddress())

const person: fc.Arbitrary<typeof Person.Encoded> = fc.record({
  name: text,
  nickname: text,
  email: text,
  birthday: fc.option(fc.date({ noInvalidDate: true })),
  age: fc.oneof(fc.integer(), fc.double({ noNaN: true })),
  legacy: text,
  city: text,
  password: text,
  address: fc.record({ line1: text }),
  tags: fc.array(text, { minLength: 1, maxLength: 3 })
})

describe("A ring of keys", () => {
  it("looks up, under each key, exactly what the anonymizer of that key makes of a value", () => {
    fc.assert(
      fc.property(person, (original) => {
        const twins = anonymizers.map(({ anonymize }) => anonymize(original))
        const underEachKey = (path: string, value: unknown, inTwin: (at: number) => unknown) =>
          expect(lookup(path, value)).toEqual(
            [7, 4, 2].map((keyVersion, at) => ({ keyVersion, values: [inTwin(at)] }))
          )
        for (const path of ["name", "email", "birthday", "age", "legacy", "city", "nickname"] as const) {
          underEachKey(path, original[path], (at) => twins[at]?.[path])
        }
        underEachKey("address.line1", original.address.line1, (at) => twins[at]?.address.line1)
        for (const [place, tag] of original.tags.entries()) {
          underEachKey("tags", tag, (at) => twins[at]?.tags[place])
          underEachKey("tags[]", tag, (at) => twins[at]?.tags[place])
        }
      }),
      { numRuns: 200 }
    )
  })

  it("gives another pseudonym under each key, in the scope and length of the field", () => {
    const found = TwinLookup.pseudonymsOf(lookup, "name", "Ada")
    expect(found).toHaveLength(3)
    for (const pseudonym of found) expect(pseudonym).toMatch(/^[0-9A-Za-z]{12}$/)
    expect(TwinLookup.pseudonymsOf(lookup, "nickname", "Ada")).toEqual(found)
    expect(TwinLookup.pseudonymsOf(lookup, "address.line1", "Ada")).not.toContain(found[0])
  })

  it("names what is the same under all keys once", () => {
    expect(TwinLookup.pseudonymsOf(lookup, "city", "London")).toEqual(["London"])
    expect(TwinLookup.pseudonymsOf(lookup, "legacy", "Ada")).toHaveLength(1)
    expect(TwinLookup.pseudonymsOf(lookup, "birthday", null)).toEqual([null])
  })

  it("refuses what cannot be looked up", () => {
    expect(() => lookup("password", "x")).toThrow(RedactedField)
    expect(() => lookup("phone", "x")).toThrow(UnknownField)
    expect(() => lookup("name", { $ne: null })).toThrow(UnexpectedValue)
    expect(() => lookup("city", { $ne: null })).toThrow(UnexpectedValue)
  })

  it("looks up by all members of a union that have the field", () => {
    const Contact = Schema.Union(
      Schema.Struct({ kind: Schema.Literal("a"), name: Schema.String.pipe(Anonymize.pseudonym) }),
      Schema.Struct({ kind: Schema.Literal("b"), name: Schema.String.pipe(Anonymize.keep) }),
      Schema.Struct({ kind: Schema.Literal("c"), name: Schema.String.pipe(Anonymize.redact) })
    )
    const { anonymize } = Either.getOrThrow(Anonymizer.make(Contact, newest))
    const values = TwinLookup.pseudonymsOf(
      Either.getOrThrow(TwinLookup.make(Contact, Either.getOrThrow(KeyRing.make(newest)))),
      "name",
      "Ada"
    )
    expect(values).toEqual([anonymize({ kind: "a", name: "Ada" }).name, "Ada"])
  })

  const refusal = (...earlier: Parameters<typeof KeyRing.make>[1] & {}) =>
    Either.match(KeyRing.make(middle, earlier), {
      onLeft: ({ reason }) => reason,
      onRight: ({ keys }) => keys.map(({ version }) => version)
    })

  it("has earlier keys of lower versions and other secrets only", () => {
    expect(refusal()).toEqual([4])
    expect(refusal(oldest)).toEqual([4, 2])
    expect(refusal(oldest, keyOf(secretText, 3))).toEqual([4, 3, 2])
    expect(refusal(newest)).toBe("Order")
    expect(refusal(keyOf(secretText, 4))).toBe("Order")
    expect(refusal(oldest, keyOf(secretText, 2))).toBe("Order")
    expect(refusal(keyOf(otherSecretText, 3))).toBe("Same")
    expect(refusal(oldest, keyOf(thirdSecretText, 1))).toBe("Same")
  })

  const fromEnvironment = (entries: Readonly<Record<string, string>>) =>
    KeyRing.config.pipe(
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(entries)))),
      Effect.map(({ keys }) => keys.map(({ check, version }) => [version, check])),
      Effect.catchTag("SecretError", ({ message, reason }) => {
        expect(message).not.toContain(secretText.slice(0, 8))
        return Effect.succeed(reason)
      }),
      Effect.runSync
    )

  it("comes from the configuration, with the previous key if both of its settings are there", () => {
    const present = { ANONYMIZE_SECRET: secretText, ANONYMIZE_KEY_VERSION: "7" }
    const secret = { ANONYMIZE_PREVIOUS_SECRET: otherSecretText }
    const version = { ANONYMIZE_PREVIOUS_KEY_VERSION: "4" }
    expect(fromEnvironment(present)).toEqual([[7, newest.check]])
    expect(fromEnvironment({ ...present, ANONYMIZE_PREVIOUS_SECRET: "" })).toEqual([[7, newest.check]])
    expect(fromEnvironment({ ...present, ...secret, ...version })).toEqual([
      [7, newest.check],
      [4, middle.check]
    ])
    expect(fromEnvironment({ ...present, ...secret })).toBe("HalfGiven")
    expect(fromEnvironment({ ...present, ...version })).toBe("HalfGiven")
    expect(fromEnvironment({ ...present, ...secret, ANONYMIZE_PREVIOUS_KEY_VERSION: "7" })).toBe("Order")
    expect(fromEnvironment({ ...present, ...version, ANONYMIZE_PREVIOUS_SECRET: secretText })).toBe("Same")
    expect(fromEnvironment({ ...present, ...version, ANONYMIZE_PREVIOUS_SECRET: "00ff" })).toBe("TooShort")
    expect(fromEnvironment(secret)).toBe("Missing")
  })

  it("shows no secret when it is printed", () => {
    expect(inspect(ring) + JSON.stringify(ring)).not.toMatch(/9f1c5a7b|NzI1ZDE4|c1a39be0/)
  })
})
