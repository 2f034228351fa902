import { Anonymize, type TwinOf } from "@twinbox/anonymize"
import { TwinTopic } from "@twinbox/repository"
import { Schema } from "effect"

const Pseudonym = Schema.String.pipe(Anonymize.pseudonym)
const Kept = Schema.String.pipe(Anonymize.keep)

/** Where a customer lives. Town, state and country stay readable in the twin; the rest does not. */
export const Address = Schema.Struct({
  line1: Pseudonym,
  line2: Pseudonym,
  postcode: Pseudonym,
  city: Kept,
  state: Kept,
  country: Kept
})

/** A customer as programs see it; every field says what its twin shows in its place. */
export const Customer = Schema.Struct({
  firstName: Pseudonym,
  lastName: Pseudonym,
  email: Schema.String.pipe(Anonymize.email),
  address: Address,
  createdAt: Schema.DateFromSelf.pipe(Anonymize.keep)
})
export type Customer = typeof Customer.Type

/** The anonymized twin of a customer. */
export type CustomerTwin = TwinOf<typeof Customer>

/** Collection of the originals; those of twins and tombstones are named after it. */
export const customerCollection = "customers"

/** Stream of the messages, and so the first part of their keys and of the mirror's keys in Redis. */
export const customerStream = "customer"

/** Where changes of customers are published, as twins. */
export const customerTopic = TwinTopic.anonymized(customerStream, Customer)
