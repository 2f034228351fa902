import { Anonymize, Anonymizer, type AnonymizerError } from "@twinbox/anonymize"
import { Effect, Either, Schema } from "effect"
import { PseudonymKey } from "./PseudonymKey.ts"
import { MessageId, type Properties, type SessionEvent, SessionId, Type } from "./SessionEvent.ts"

/*
 * Events of sessions with pseudonyms in place of personal data. Anybody can write anything into an event, so only what
 * is declared here, and looks as declared, stays as it is.
 */

/** Events of https://segment.com/docs/connections/spec/ecommerce/v2/ and of accounts: their names say nothing of people. */
const knownEvents: ReadonlySet<string> = new Set([
  "Products Searched",
  "Product List Viewed",
  "Product List Filtered",
  "Promotion Viewed",
  "Promotion Clicked",
  "Product Clicked",
  "Product Viewed",
  "Product Added",
  "Product Removed",
  "Cart Viewed",
  "Checkout Started",
  "Checkout Step Viewed",
  "Checkout Step Completed",
  "Payment Info Entered",
  "Order Updated",
  "Order Completed",
  "Order Refunded",
  "Order Cancelled",
  "Coupon Entered",
  "Coupon Applied",
  "Coupon Denied",
  "Coupon Removed",
  "Product Added to Wishlist",
  "Product Shared",
  "Cart Shared",
  "Product Reviewed",
  "Account Created",
  "Account Deleted",
  "Signed Up",
  "Signed In",
  "Signed Out"
])

/** Above it, a number could be that of a telephone or a card. */
const largestAmount = 1_000_000

const amounts = [
  "discount",
  "position",
  "price",
  "quantity",
  "revenue",
  "shipping",
  "step",
  "subtotal",
  "tax",
  "total",
  "value"
] as const

const texts = [
  "affiliation",
  "brand",
  "cart_id",
  "category",
  "checkout_id",
  "coupon",
  "firstName",
  "lastName",
  "name",
  "order_id",
  "path",
  "phone",
  "plan",
  "product_id",
  "query",
  "referrer",
  "search",
  "sku",
  "title",
  "url",
  "variant"
] as const

type Amount = (typeof amounts)[number]
type Text = (typeof texts)[number]

const optional = <S extends Schema.Schema.All>(schema: S) => Schema.optionalWith(schema, { exact: true })

const Kept = optional(Schema.Number.pipe(Anonymize.keep))
const Hidden = optional(Schema.String.pipe(Anonymize.pseudonym))

const fields = <K extends string, F>(names: ReadonlyArray<K>, field: F) =>
  Object.fromEntries(names.map((name) => [name, field])) as { readonly [_ in K]: F }

const Declared = Schema.Struct({
  ...fields<Amount, typeof Kept>(amounts, Kept),
  ...fields<Text, typeof Hidden>(texts, Hidden),
  currency: optional(Schema.String.pipe(Anonymize.keep)),
  email: optional(Schema.String.pipe(Anonymize.email)),
  /** Each other property, its name and value together. */
  others: Schema.Array(Schema.String.pipe(Anonymize.pseudonym))
})

/** An event as it is stored, before it is made pseudonymous. */
const Original = Schema.Struct({
  session_id: SessionId.pipe(Anonymize.keep),
  message_id: MessageId.pipe(Anonymize.keep),
  request_id: Schema.String.pipe(Anonymize.keep),
  type: Type.pipe(Anonymize.keep),
  /** Of `track`: its name, if it is known here. */
  event: optional(Schema.String.pipe(Anonymize.keep)),
  /** Its name, if it is not. */
  other_event: Hidden,
  name: Hidden,
  category: Hidden,
  user_id: Hidden,
  anonymous_id: Hidden,
  properties: optional(Declared),
  timestamp: Schema.DateFromSelf.pipe(Anonymize.keep),
  received_at: Schema.DateFromSelf.pipe(Anonymize.keep)
})

const isAmount = (value: unknown): boolean =>
  typeof value === "number" && Number.isFinite(value) && Math.abs(value) <= largestAmount

const isText = (value: unknown): boolean => typeof value === "string"

const isCurrency = (value: unknown): boolean => typeof value === "string" && /^[A-Z]{3}$/.test(value)

/** By name, what a property has to look like to be taken for what its name says. */
const shapes: ReadonlyMap<string, (value: unknown) => boolean> = new Map([
  ...amounts.map((name) => [name, isAmount] as const),
  ...texts.map((name) => [name, isText] as const),
  ["currency", isCurrency] as const,
  ["email", isText] as const
])

const isDeclared = ([name, value]: readonly [string, unknown]): boolean => shapes.get(name)?.(value) === true

const declare = (properties: Properties): typeof Declared.Encoded => {
  const entries = Object.entries(properties)
  return {
    ...(Object.fromEntries(entries.filter(isDeclared)) as Partial<typeof Declared.Encoded>),
    others: entries
      .filter((entry) => !isDeclared(entry))
      .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
  }
}

const given = <K extends string, A>(name: K, value: A | undefined): { readonly [_ in K]?: A } =>
  (value === undefined ? {} : { [name]: value }) as { readonly [_ in K]?: A }

const namesOf = (event: string | undefined) =>
  given(event !== undefined && knownEvents.has(event) ? "event" : "other_event", event)

const originalOf = (event: SessionEvent): typeof Original.Encoded => ({
  session_id: event.sessionId,
  message_id: event.messageId,
  request_id: event.requestId,
  type: event.type,
  ...namesOf(event.event),
  ...given("name", event.name),
  ...given("category", event.category),
  ...given("user_id", event.userId),
  ...given("anonymous_id", event.anonymousId),
  ...given("properties", event.properties === undefined ? undefined : declare(event.properties)),
  timestamp: new Date(event.timestamp),
  received_at: new Date(event.receivedAt)
})

/** Makes events pseudonymous. Nobody has their originals, so they keep the pseudonyms of their time. */
export const make = Effect.flatMap(PseudonymKey, ({ newest }) =>
  Either.map(
    Anonymizer.make(Original, newest),
    ({ anonymize }) =>
      (event: SessionEvent) =>
        anonymize(originalOf(event))
  )
)

export type SessionTwin = ReturnType<Effect.Effect.Success<typeof make>>
export type { AnonymizerError }
