import { Key } from "@twinbox/outbox"
import { Schema } from "effect"
import { customerStream } from "./Customer.ts"
import { rule } from "./FieldProblem.ts"

const isCustomerId = (text: string): boolean => Key.isKey(Key.make(customerStream, text))

/** The id of a customer. */
export const CustomerId = Schema.String.pipe(
  Schema.filter(isCustomerId, rule("must be an id: 1 to 512 characters, no control characters"))
).annotations({
  jsonSchema: { type: "string", minLength: 1, maxLength: 512 },
  description: "The id of the customer"
})
