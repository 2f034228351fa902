import { Either, FastCheck as fc, Schema } from "effect"
import { describe, expect, it } from "vitest"
import { Anonymize, Anonymizer, TwinEmail } from "../src/index.ts"
import * as Email from "../src/Email.ts"
import { keyOf } from "./Customer.ts"

const anonymizer = Either.getOrThrow(
  Anonymizer.make(
    Schema.Struct({
      email: Schema.String.pipe(Anonymize.email),
      name: Schema.String.pipe(Anonymize.pseudonym({ scope: "email" }))
    }),
    keyOf()
  )
)
const twinOf = (email: string): string => anonymizer.anonymize({ email, name: "" }).email
const pseudonymOf = (name: string): string => anonymizer.anonymize({ email: "", name }).name

describe("an e-mail address", () => {
  it.each([
    ["ada@example.org", "ada", "example.org"],
    ["Ada@Mail.Example.ORG", "Ada", "Mail.Example.ORG"],
    ["ada@home@example.org", "ada@home", "example.org"],
    ["@example.org", "", "example.org"],
    ["@@example.org", "@", "example.org"],
    ["zoë@münchen.example", "zoë", "münchen.example"],
    ["ada@xn--mnchen-3ya.xn--p1ai", "ada", "xn--mnchen-3ya.xn--p1ai"],
    ["ada@пример.рф", "ada", "пример.рф"]
  ])("%s keeps what stands behind its last @", (email, hashed, domain) => {
    expect(twinOf(email)).toBe(`${pseudonymOf(hashed)}@${domain}`)
  })

  it.each([
    "",
    "ada",
    "ada@",
    "@",
    "ada@Ada Lovelace",
    "ada@Lovelace",
    "ada@localhost",
    "ada@555.123.4567",
    "ada@192.168.0.1",
    "ada@[192.168.0.1]",
    "ada@example.org ",
    "ada@example.org.",
    "ada@.example.org",
    "ada@example..org",
    "ada@-example.org",
    "ada@example-.org",
    "ada@example.o",
    "ada@example.org\n",
    "ada@exam_ple.org",
    "ada@12 Main St.London",
    "Ada <ada@example.org>",
    `ada@${"a".repeat(64)}.org`,
    `ada@${"abcdefg.".repeat(40)}org`,
    "ada@\ud800.org"
  ])("%j is hashed as a whole and shows no domain", (email) => {
    expect(twinOf(email)).toBe(`${pseudonymOf(email)}@invalid`)
  })

  it("has a twin that is a pseudonym, an @ and a domain, whatever it is", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string({ unit: fc.constantFrom("@", ".", "-", "a", "B", "7", "é", " ", "\ud800") }),
      fc.emailAddress()
    )
    const isTwinEmail = Schema.is(TwinEmail)
    fc.assert(
      fc.property(text, (email) => {
        const twin = twinOf(email)
        expect(isTwinEmail(twin)).toBe(true)
        expect(Email.isDomain(twin.slice(9)) || twin.slice(9) === "invalid").toBe(true)
      })
    )
  })

  it("of the usual kind keeps its domain", () => {
    fc.assert(
      fc.property(fc.emailAddress(), (email) => {
        const domain = email.slice(email.lastIndexOf("@"))
        expect(twinOf(email).slice(8)).toBe(domain)
      })
    )
  })

  it("is split in linear time", () => {
    const start = performance.now()
    twinOf(`a@${"a-".repeat(100_000)}`)
    twinOf(`a@${"a.".repeat(126)}1`)
    twinOf("@".repeat(100_000))
    expect(performance.now() - start).toBeLessThan(500)
  })
})
