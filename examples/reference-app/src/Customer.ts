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

/** A customer in full; every field says what its twin shows in its place. */
export const FullCustomer = Schema.Struct({
  firstName: Pseudonym,
  lastName: Pseudonym,
  email: Schema.String.pipe(Anonymize.email),
  address: Address,
  createdAt: Schema.DateFromSelf.pipe(Anonymize.keep)
})
export type FullCustomer = typeof FullCustomer.Type

/** A customer of whom no more is known than a name and an address, as plain text. */
export const ShortCustomer = Schema.Struct({ name: Pseudonym, address: Pseudonym })
export type ShortCustomer = typeof ShortCustomer.Type

/** A customer as programs see it, in either form. */
export const Customer = Schema.Union(FullCustomer, ShortCustomer)
export type Customer = typeof Customer.Type

/** The anonymized twin of a customer. */
export type CustomerTwin = TwinOf<typeof Customer>

/** Collection of the originals; those of twins and tombstones are named after it. */
export const customerCollection = "customers"

/** Stream of the messages, and so the first part of their keys and of the mirror's keys in Redis. */
export const customerStream = "customer"

/** Where changes of customers are published, as twins. */
export const customerTopic = TwinTopic.anonymized(customerStream, Customer)

/** Where customers themselves are published, for the Redis that takes writes, too. */
export const customerOriginalTopic = TwinTopic.original("customer-original", Customer)
