import { Either, ParseResult, Schema } from "effect"
import type { CustomerJson } from "./CustomerJson.ts"
import { type FieldProblem, ofIssues, rule } from "./FieldProblem.ts"

/*
 * Customers as bodies of requests, in either form.
 */

/** Text without what no database, log or other program can be trusted to keep: NUL, and halves of characters. */
const isClean = (text: string): boolean => !text.includes("\0") && !/\p{Cs}/u.test(text)

const Clean = Schema.String.pipe(
  Schema.filter(isClean, rule("must not have NUL characters or lone surrogates"))
).annotations({ jsonSchema: { type: "string" } })

export const text = (minLength: number, maxLength: number) =>
  Clean.pipe(
    Schema.minLength(minLength, rule(`must have ${minLength} characters at least`)),
    Schema.maxLength(maxLength, rule(`must have ${maxLength} characters at most`))
  )

/** One `@`, and around it what addresses have in common: https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1 */
const emailPattern = /^[^\s@\p{Cc}]{1,64}@[\p{L}\p{N}-]{1,63}(?:\.[\p{L}\p{N}-]{1,63})+$/u

export const Email = Clean.pipe(
  Schema.maxLength(254, rule("must have 254 characters at most")),
  Schema.pattern(emailPattern, rule("must be an e-mail address"))
).annotations({ jsonSchema: { type: "string", format: "email" }, description: "An e-mail address" })

const momentPattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?(?:Z|[+-]\d{2}:\d{2})$/

const toIso = (moment: string): string => new Date(moment).toISOString()

/** Dates such as February 30 are taken for March 2 by JavaScript. */
const isMoment = (moment: string): boolean => {
  const day = moment.slice(0, 10)
  return (
    momentPattern.test(moment) &&
    !Number.isNaN(Date.parse(moment)) &&
    toIso(`${day}T00:00:00Z`).slice(0, 10) === day
  )
}

/** A moment in ISO 8601 with a zone; kept to the millisecond, and shown in UTC. */
export const Moment = Schema.transform(
  Schema.String.pipe(
    Schema.filter(isMoment, rule("must be a moment such as 2026-05-01T12:00:00Z"))
  ).annotations({ jsonSchema: { type: "string", format: "date-time" } }),
  Schema.String,
  { strict: true, decode: toIso, encode: (iso) => iso }
)

const AddressBody = Schema.Struct({
  line1: text(1, 200),
  line2: text(0, 200),
  postcode: text(1, 20),
  city: text(1, 100),
  state: text(0, 100),
  country: text(1, 100)
})

const known = {
  firstName: text(1, 100),
  lastName: text(1, 100),
  email: Email,
  address: AddressBody
}

export const fullExample = {
  firstName: "Ada",
  lastName: "King",
  email: "ada@example.com",
  address: {
    line1: "12 St James's Square",
    line2: "",
    postcode: "SW1Y 4JH",
    city: "London",
    state: "",
    country: "United Kingdom"
  },
  createdAt: "2026-05-01T12:00:00.000Z"
}

export const shortExample = { name: "cc Inc", address: "cahce 37" }

const Full = Schema.Struct({ ...known, createdAt: Moment })

export const FullBody = Schema.Struct({
  ...known,
  createdAt: Schema.optionalWith(Moment, { exact: true })
}).annotations({
  identifier: "FullCustomer",
  description: "All that is known of a customer; `createdAt` is now unless it is given.",
  examples: [fullExample]
})
export type FullBody = typeof FullBody.Type

export const ShortBody = Schema.Struct({ name: text(1, 200), address: text(1, 500) }).annotations({
  identifier: "ShortCustomer",
  description: "A customer of whom no more is known than a name and an address.",
  examples: [shortExample]
})
export type ShortBody = typeof ShortBody.Type

/** A customer as it comes in. */
export const CustomerBody = Schema.Union(FullBody, ShortBody)
export type CustomerBody = typeof CustomerBody.Type

const options: { readonly errors: "all"; readonly onExcessProperty: "error" } = {
  errors: "all",
  onExcessProperty: "error"
}

const decodeWith = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = ParseResult.decodeUnknownEither(schema, options)
  return (value: unknown): Either.Either<A, ReadonlyArray<FieldProblem>> =>
    Either.mapLeft(decode(value), (issue) => ofIssues(ParseResult.ArrayFormatter.formatIssueSync(issue)))
}

const decodeFull = decodeWith(Full)
const decodeFullBody = decodeWith(FullBody)
const decodeShort = decodeWith(ShortBody)

/** The form is chosen by one field, so that problems are told of the form that was meant. */
const isMeantShort = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Object.hasOwn(value, "name")

/** Checks the body of a request. */
export const decode = (value: unknown): Either.Either<CustomerBody, ReadonlyArray<FieldProblem>> =>
  isMeantShort(value) ? decodeShort(value) : decodeFullBody(value)

/** Checks a customer as a whole, such as a patched one: nothing may be missing. */
export const decodeWhole = (value: unknown): Either.Either<CustomerJson, ReadonlyArray<FieldProblem>> =>
  isMeantShort(value) ? decodeShort(value) : decodeFull(value)

/** Puts in what is missing. */
export const complete = (body: CustomerBody, createdAt: string): CustomerJson =>
  "name" in body ? body : { ...body, createdAt: body.createdAt ?? createdAt }
