import { createHmac, createSecretKey } from "node:crypto"
import { Anonymize, AnonymizeKey } from "@twinbox/anonymize"
import { TwinTopic } from "@twinbox/repository"
import { Either, Redacted, Schema } from "effect"

const Personal = Schema.String.pipe(Anonymize.pseudonym)
const Kept = Schema.String.pipe(Anonymize.keep)

/** The customer that all measurements use: eight hashed values. */
export const BenchCustomer = Schema.Struct({
  firstName: Personal,
  lastName: Personal,
  email: Schema.String.pipe(Anonymize.email),
  address: Schema.Struct({
    line1: Personal,
    line2: Personal,
    postcode: Personal,
    city: Kept,
    state: Kept,
    country: Kept
  }),
  createdAt: Schema.DateFromSelf.pipe(Anonymize.keep)
})

export type BenchCustomer = typeof BenchCustomer.Type

export const topic = TwinTopic.anonymized("customer", BenchCustomer)

const secret = "5f0c9a1be7d24386fa17c05e92bd6843"

export const key = Either.getOrThrow(AnonymizeKey.make({ version: 1, secret: Redacted.make(secret) }))

/** Customers that differ in every personal field. */
export const customer = (n: number): BenchCustomer => ({
  firstName: `Anna${n}`,
  lastName: `Lindqvist${n}`,
  email: `anna.lindqvist${n}@example.org`,
  address: {
    line1: `${n} Long Street`,
    line2: `Flat ${n % 90}`,
    postcode: `${10_000 + (n % 90_000)}`,
    city: "Uppsala",
    state: "Uppland",
    country: "Sweden"
  },
  createdAt: new Date(1_700_000_000_000 + n)
})

const keyObject = createSecretKey(Buffer.from(secret, "hex"))

/** The bare calls: what any anonymizer with HMAC-SHA-256 has to compute for one customer. */
export const bareHmacs = ({ address, email, firstName, lastName }: BenchCustomer): ReadonlyArray<Buffer> =>
  [firstName, lastName, email, address.line1, address.line2, address.postcode].map((value) =>
    createHmac("sha256", keyObject).update(value).digest()
  )

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const handMade = (value: string): string => {
  const digest = createHmac("sha256", keyObject).update(value).digest()
  let text = ""
  for (let at = 0; at < 8; at++) text += alphabet[(digest[at] ?? 0) % 62] ?? ""
  return text
}

/** A twin as somebody would write it by hand, without any care for bias, Unicode or odd addresses. */
export const handMadeTwin = (original: BenchCustomer) => {
  const [local = "", domain = ""] = original.email.split("@")
  return {
    firstName: handMade(original.firstName),
    lastName: handMade(original.lastName),
    email: `${handMade(local)}@${domain}`,
    address: {
      ...original.address,
      line1: handMade(original.address.line1),
      line2: handMade(original.address.line2),
      postcode: handMade(original.address.postcode)
    },
    createdAt: original.createdAt
  }
}
