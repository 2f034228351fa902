import { describe, expect, it } from "@effect/vitest"
import { Anonymize, AnonymizeKey, Anonymizer } from "@twinbox/anonymize"
import { TwinTopic } from "@twinbox/repository"
import { Either, Redacted, Schema } from "effect"
import { ada, Customer } from "./testRepository.ts"

const identity = { _id: "42", version: 3 }

/** What a relay carries: the stored document as JSON text. */
const carried = (document: object): unknown => JSON.parse(JSON.stringify({ ...identity, ...document }))

const kept = Anonymize.keep

describe("TwinTopic", () => {
  it("of originals reads what was written, dates too", () => {
    const { schema, view } = TwinTopic.original("customer-original", Customer)
    expect(view).toBe("original")
    expect(Schema.decodeUnknownSync(schema)(carried(ada))).toEqual({ ...identity, ...ada })
  })

  it("of twins is made without a secret, and reads twins of any key", () => {
    const { schema, view } = TwinTopic.anonymized("customer", Customer)
    expect(view).toBe("anonymized")
    const secret = Redacted.make("9f3c1ad94be2608571c0f2a95d3e8b47")
    const key = Either.getOrThrow(AnonymizeKey.make({ version: 5, secret }))
    const twin = Either.getOrThrow(Anonymizer.make(Customer, key)).anonymize(ada)
    expect(Schema.decodeUnknownSync(schema)(carried(twin))).toEqual({ ...identity, ...twin })
    expect(Schema.decodeUnknownEither(schema)(carried(ada))._tag).toBe("Left")
    expect(Schema.decodeUnknownEither(schema)({ ...twin, _id: "42" })._tag).toBe("Left")
  })

  it("reads and writes dates wherever they stand", () => {
    const At = Schema.DateFromSelf
    const Stay = Schema.Struct({
      plain: kept(At),
      valid: kept(Schema.ValidDateFromSelf),
      list: Schema.Array(kept(At)),
      pair: Schema.Tuple(kept(At), Schema.optionalElement(kept(At))),
      nullable: kept(Schema.NullOr(At)),
      optional: Schema.optional(kept(At)),
      inside: Schema.Struct({ at: kept(At) }),
      byName: Schema.Record({ key: Schema.String, value: kept(At) }).pipe(Anonymize.keepKeys),
      utc: kept(Schema.DateTimeUtcFromDate)
    })
    const { schema } = TwinTopic.original("stay-original", Stay)
    const at = new Date("2026-05-06T07:08:09.010Z")
    const document = {
      plain: at,
      valid: at,
      list: [at, at],
      pair: [at, at],
      nullable: null,
      optional: at,
      inside: { at },
      byName: { first: at },
      utc: at
    }
    const stay = { ...identity, ...Schema.decodeUnknownSync(Stay)(document) }
    expect(Schema.decodeUnknownSync(schema)(carried(document))).toEqual(stay)
    expect(JSON.parse(JSON.stringify(Schema.encodeSync(schema)(stay)))).toEqual(carried(document))
    expect(Schema.decodeUnknownSync(TwinTopic.anonymized("stay", Stay).schema)(carried(document))).toEqual(
      stay
    )
  })

  it("keeps a rule on a date", () => {
    const after = Schema.ValidDateFromSelf.pipe(Schema.greaterThanDate(new Date("2026-01-01")))
    const { schema } = TwinTopic.original("event-original", Schema.Struct({ at: kept(after) }))
    const read = Schema.decodeUnknownEither(schema)
    expect(read(carried({ at: "2026-06-01T00:00:00.000Z" }))._tag).toBe("Right")
    expect(read(carried({ at: "2025-06-01T00:00:00.000Z" }))._tag).toBe("Left")
    expect(read(carried({ at: "no date" }))._tag).toBe("Left")
  })

  it("does not compile, and throws, for a Schema with a field that says nothing of privacy", () => {
    const Careless = Schema.Struct({ name: kept(Schema.String), phone: Schema.String })
    // @ts-expect-error the field `phone` has no annotation
    expect(() => TwinTopic.anonymized("careless", Careless)).toThrow("phone")
  })
})
