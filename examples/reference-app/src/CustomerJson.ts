import { Schema } from "effect"

const AddressJson = Schema.Struct({
  line1: Schema.String,
  line2: Schema.String,
  postcode: Schema.String,
  city: Schema.String,
  state: Schema.String,
  country: Schema.String
})

const full = {
  firstName: Schema.String,
  lastName: Schema.String,
  email: Schema.String,
  address: AddressJson,
  createdAt: Schema.String
}

const short = { name: Schema.String, address: Schema.String }

/**
 * A customer with all its fields, as JSON has them. What is stored is not held to the bounds of bodies: other
 * programs write customers, too.
 */
export const CustomerJson = Schema.Union(Schema.Struct(full), Schema.Struct(short))
export type CustomerJson = typeof CustomerJson.Type

const identity = { uid: Schema.String, version: Schema.Int }

/** A customer as it is answered: what was sent, with its id and its version. */
export const CustomerResource = Schema.Union(
  Schema.Struct({ ...identity, ...full }),
  Schema.Struct({ ...identity, ...short })
).annotations({ identifier: "Customer", description: "What was sent, with the customer's id and version." })
export type CustomerResource = typeof CustomerResource.Type
