import { Anonymize, AnonymizeKey } from "@twinbox/anonymize"
import { TwinTopic } from "@twinbox/repository"
import { Effect, Redacted, Schema } from "effect"

/* The customers of tests, also for processes that are no test. */

const Text = Schema.String.pipe(Anonymize.pseudonym)

export const Customer = Schema.Struct({
  firstName: Schema.NonEmptyString.pipe(Anonymize.pseudonym),
  lastName: Text,
  email: Schema.String.pipe(Anonymize.email),
  nickname: Schema.optional(Text),
  address: Schema.Struct({ line1: Text, city: Schema.String.pipe(Anonymize.keep) }),
  note: Schema.optional(Schema.String.pipe(Anonymize.keep)),
  visits: Schema.Int.pipe(Anonymize.keep),
  createdAt: Schema.ValidDateFromSelf.pipe(Anonymize.keep)
})
export type Customer = typeof Customer.Type

export const topic = TwinTopic.anonymized("customer", Customer)
export const originalTopic = TwinTopic.original("customer-original", Customer)

export const ada: Customer = {
  firstName: "Adalbertine",
  lastName: "Lovelacy",
  email: "ada.secret@example.org",
  nickname: "Countesse",
  address: { line1: "12 Hiddenstreet", city: "London" },
  visits: 0,
  createdAt: new Date("2026-01-02T03:04:05.678Z")
}

/** Whatever of `ada` must not be found outside the originals. */
export const personal = [ada.firstName, ada.lastName, "ada.secret", "Countesse", ada.address.line1]

export const keyOf = (version: number, secret = "9f3c1ad94be2608571c0f2a95d3e8b47") =>
  Effect.orDie(AnonymizeKey.make({ version, secret: Redacted.make(secret) }))
