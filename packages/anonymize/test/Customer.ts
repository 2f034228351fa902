import { Either, Redacted, Schema } from "effect"
import { Anonymize, AnonymizeKey, Anonymizer } from "../src/index.ts"

/** The example of the documentation, with every common shape in it. */
export const Customer = Schema.Struct({
  firstName: Schema.String.pipe(Anonymize.pseudonym),
  lastName: Schema.NonEmptyString.pipe(Anonymize.pseudonym),
  email: Schema.String.pipe(Anonymize.email),
  address: Schema.Struct({
    line1: Schema.String.pipe(Anonymize.pseudonym),
    line2: Schema.optional(Schema.String.pipe(Anonymize.pseudonym)),
    postcode: Schema.String.pipe(Anonymize.pseudonym),
    city: Schema.String.pipe(Anonymize.keep),
    state: Schema.String.pipe(Anonymize.keep),
    country: Schema.String.pipe(Anonymize.keep)
  }),
  tags: Schema.Array(Schema.String.pipe(Anonymize.pseudonym)),
  createdAt: Schema.DateFromSelf.pipe(Anonymize.keep)
})

/** The text of a secret made for tests: the bytes of SHA-256 of a name would do as well. */
export const secretText = "9f1c5a7be03d42688d5b0c4e6a17f2935cb8e1d70a4f63926b1d8e57c3fa0419"

/** A key of a secret. */
export const keyOf = (text: string = secretText, version = 1): AnonymizeKey =>
  Either.getOrThrow(AnonymizeKey.make({ version, secret: Redacted.make(text) }))

export const otherSecretText = "NzI1ZDE4ZjA5YWJjNDM2ZTkyZjQ1"

export const customers = Either.getOrThrow(Anonymizer.make(Customer, keyOf()))

/** A stored customer. */
export const ada: typeof Customer.Encoded = {
  firstName: "Ada-Maria",
  lastName: "Łovelace",
  email: "ada.lovelace+home@example.org",
  address: {
    line1: "12, St James's Square",
    line2: "Flat #3",
    postcode: "SW1Y 4JH",
    city: "London",
    state: "Greater London",
    country: "GB"
  },
  tags: ["first customer", "pays-late"],
  createdAt: new Date("2024-02-29T12:00:00.000Z")
}
