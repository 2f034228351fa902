import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { FastCheck as fc, Schema } from "effect"
import { describe, expect, it } from "vitest"
import { Anonymizer } from "../src/index.ts"
import { ada, Customer, customers, keyOf, otherSecretText } from "./Customer.ts"

type StoredCustomer = typeof Customer.Encoded

const customerOf = (
  personal: fc.Arbitrary<string>,
  email: fc.Arbitrary<string>
): fc.Arbitrary<StoredCustomer> =>
  fc.record({
    firstName: personal,
    lastName: personal,
    email,
    address: fc.record(
      {
        line1: personal,
        line2: personal,
        postcode: personal,
        city: fc.constantFrom("London", "Paris"),
        state: fc.constantFrom("", "Greater London"),
        country: fc.constantFrom("GB", "FR")
      },
      { requiredKeys: ["line1", "postcode", "city", "state", "country"] }
    ),
    tags: fc.array(personal, { maxLength: 4 }),
    createdAt: fc.date({ noInvalidDate: true })
  })

const anyText = fc.oneof(fc.string(), fc.string({ unit: "grapheme" }), fc.string({ unit: "binary" }))
const customer = customerOf(anyText, fc.oneof(fc.emailAddress(), anyText))

// No twin holds these characters by itself: pseudonyms have none, kept values, domains and keys here neither. So any
// piece of such a text inside a twin is a leak, never an accident.
const foreignLetters = "äßéłжя漢字ñ#§%'"
const foreign = fc.string({ unit: fc.constantFrom(...foreignLetters), minLength: 3, maxLength: 20 })
const foreignEmail = fc.oneof(
  foreign.map((local) => `${local}@example.org`),
  foreign,
  fc.tuple(foreign, foreign).map(([local, name]) => `${local}@example.org@${name}`),
  fc.tuple(foreign, foreign).map(([local, name]) => `${local}@${name} ${name}`),
  foreign.map((local) => `${local}@`)
)

const textsIn = (value: unknown): ReadonlyArray<string> => {
  if (typeof value === "string") return [value]
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsIn) : []
}

/** Every run of three foreign letters of a personal value. */
const pieces = (text: string): ReadonlyArray<string> =>
  Array.from({ length: Math.max(0, text.length - 2) }, (_, index) => text.slice(index, index + 3)).filter(
    (piece) => [...piece].every((letter) => foreignLetters.includes(letter))
  )

const personalTexts = ({
  address: { city: _c, state: _s, country: _k, ...address },
  ...rest
}: StoredCustomer) => textsIn([rest.firstName, rest.lastName, rest.email, address, rest.tags])

describe("twins of any customers", () => {
  it("are accepted by the twin's Schema", () => {
    const isTwin = Schema.is(customers.twinSchema)
    fc.assert(fc.property(customer, (original) => isTwin(customers.anonymize(original))))
  })

  it("have the original's shape", () => {
    const shape = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(shape)
      if (typeof value !== "object" || value === null || value instanceof Date) return typeof value
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shape(inner)]))
    }
    fc.assert(
      fc.property(customer, (original) => {
        expect(shape(customers.anonymize(original))).toEqual(shape(original))
      })
    )
  })

  it("are the same each time, with each anonymizer of the same key", () => {
    const again = Anonymizer.compile(Customer, keyOf())
    if (again._tag === "Left") throw again.left
    fc.assert(
      fc.property(customer, (original) => {
        expect(again.right.anonymize(structuredClone(original))).toEqual(customers.anonymize(original))
      })
    )
  })

  it("are the same in another process", () => {
    const originals = fc.sample(customerOf(fc.string({ unit: "grapheme" }), fc.emailAddress()), 200)
    const child = fileURLToPath(new URL("separateProcess.ts", import.meta.url))
    const output = execFileSync(process.execPath, ["--conditions=twinbox-source", child], {
      input: JSON.stringify(originals),
      maxBuffer: 2 ** 26
    })
    const here = originals.map((original) => ({ ...customers.anonymize(original), createdAt: ada.createdAt }))
    expect(JSON.parse(output.toString("utf8"))).toEqual(JSON.parse(JSON.stringify(here)))
  })

  it("hold no piece of a personal value, nor of a field that is not declared", () => {
    const leaky = fc.tuple(customerOf(foreign, foreignEmail), foreign).map(([original, extra]) => ({
      original: { ...original, extra, address: { ...original.address, extra: { extra } } },
      extra
    }))
    fc.assert(
      fc.property(leaky, leaky, (previous, next) => {
        const twin = customers.anonymize(next.original)
        const again = customers.reanonymize(
          previous.original,
          next.original,
          customers.anonymize(previous.original)
        )
        const stored = JSON.stringify([twin, again])
        const personal = [...personalTexts(next.original), ...personalTexts(previous.original), next.extra]
        for (const piece of personal.flatMap(pieces)) expect(stored).not.toContain(piece)
      })
    )
  })

  it("differ everywhere under another key", () => {
    const others = Anonymizer.compile(Customer, keyOf(otherSecretText))
    if (others._tag === "Left") throw others.left
    const other = others.right
    fc.assert(
      fc.property(customer, (original) => {
        const [one, two] = [customers.anonymize(original), other.anonymize(original)]
        // One pair in 62^8 agrees by chance.
        expect(one.firstName).not.toBe(two.firstName)
        expect(one.address.line1).not.toBe(two.address.line1)
        expect(one.email.slice(0, 8)).not.toBe(two.email.slice(0, 8))
      })
    )
  })

  it("give the same value another pseudonym in another field", () => {
    fc.assert(
      fc.property(anyText, (same) => {
        const twin = customers.anonymize({ ...ada, firstName: same, lastName: same, tags: [same] })
        expect(new Set([twin.firstName, twin.lastName, ...twin.tags]).size).toBe(3)
      })
    )
  })

  it("match the values they were made from", () => {
    fc.assert(
      fc.property(customer, (original) => {
        const twin = customers.anonymize(original)
        expect(customers.matches("lastName", original.lastName, twin.lastName)).toBe(true)
        expect(customers.matches("email", original.email, twin.email)).toBe(true)
        expect(original.tags.every((tag, index) => customers.matches("tags", tag, twin.tags[index]))).toBe(
          true
        )
      })
    )
  })
})

describe("reanonymizing any customers", () => {
  /** A twin whose pseudonyms are all the same, so that what was taken from it shows. */
  const mark = (value: unknown): unknown => {
    if (typeof value === "string") return value.replace(/^[0-9A-Za-z]{8}(?=@|$)/, "SENTINEL")
    if (Array.isArray(value)) return value.map(mark)
    if (typeof value !== "object" || value === null || value instanceof Date) return value
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, mark(inner)]))
  }
  const marked = (original: StoredCustomer) =>
    mark(customers.anonymize(original)) as ReturnType<typeof customers.anonymize>

  /** Two versions of a customer that share some of their values. */
  const versions = fc
    .tuple(customer, customer, fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }))
    .map(([previous, other, picks]) => {
      const pick = <A>(index: number, left: A, right: A): A => (picks[index] === true ? left : right)
      const next: StoredCustomer = {
        ...other,
        firstName: pick(0, previous.firstName, other.firstName),
        lastName: pick(1, previous.lastName, other.lastName),
        email: pick(2, previous.email, other.email),
        address: pick(3, previous.address, {
          ...other.address,
          line1: pick(4, previous.address.line1, other.address.line1)
        }),
        tags: other.tags.map((tag, index) => pick(5 + index, previous.tags[index] ?? tag, tag))
      }
      return [previous, next] as const
    })

  it("gives what anonymizing from scratch gives", () => {
    fc.assert(
      fc.property(versions, ([previous, next]) => {
        expect(customers.reanonymize(previous, next, customers.anonymize(previous))).toEqual(
          customers.anonymize(next)
        )
      })
    )
  })

  it("hashes changed values only: the others come from the earlier twin", () => {
    const expected = (before: unknown, after: string, hashed: string): string => {
      const isUnchanged = before === after
      return isUnchanged ? hashed.replace(/^.{8}/, "SENTINEL") : hashed
    }
    fc.assert(
      fc.property(versions, ([previous, next]) => {
        const twin = customers.reanonymize(previous, next, marked(previous))
        const fresh = customers.anonymize(next)
        for (const field of ["firstName", "lastName", "email"] as const) {
          expect(twin[field]).toBe(expected(previous[field], next[field], fresh[field]))
        }
        for (const field of ["line1", "line2", "postcode"] as const) {
          const [after, hashed] = [next.address[field], fresh.address[field]]
          if (after === undefined || hashed === undefined) expect(twin.address).not.toHaveProperty(field)
          else expect(twin.address[field]).toBe(expected(previous.address[field], after, hashed))
        }
        next.tags.forEach((tag, index) => {
          expect(twin.tags[index]).toBe(expected(previous.tags[index], tag, fresh.tags[index] ?? ""))
        })
      })
    )
  })
})
