import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { Access } from "./Access.ts"
import { Cursor } from "./Cursor.ts"
import { CustomerBody, Email, fullExample, shortExample } from "./CustomerBody.ts"
import { CustomerId } from "./CustomerId.ts"
import { CustomerResource } from "./CustomerJson.ts"
import { rule } from "./FieldProblem.ts"
import { documented, faulty, forbidden, unavailable } from "./Problem.ts"

/** Customers of one page, at most, and unless it is said. */
export const maxPage = 200
export const defaultPage = 50

const limitRule = rule(`must be a whole number from 1 to ${maxPage}`)

export const Limit = Schema.compose(
  Schema.String.pipe(Schema.pattern(/^\d{1,3}$/, limitRule)).annotations({
    jsonSchema: { type: "integer", minimum: 1, maximum: maxPage, default: defaultPage },
    description: "Items of the page, at most"
  }),
  Schema.NumberFromString.pipe(Schema.between(1, maxPage, limitRule))
)

const Uid = Schema.Struct({ uid: CustomerId })

const IfMatch = Schema.Struct({
  "if-match": Schema.optional(
    Schema.String.annotations({
      description: 'Do it only if the customer has this version, for example "3"; see ETag'
    })
  ),
  "if-none-match": Schema.optional(
    Schema.String.annotations({ description: "Do it only if the customer has another version" })
  )
})

const IfNoneMatch = Schema.Struct({
  "if-none-match": Schema.optional(
    Schema.String.annotations({ description: "304 if the customer still has this version; see ETag" })
  )
})

const IdempotencyKey = Schema.Struct({
  "idempotency-key": Schema.optional(
    Schema.String.annotations({
      description:
        "For 24 hours, the same key with the same body makes no second customer, but answers the first one again"
    })
  )
})

/** Unknown parameters are refused: a filter with a slip of the pen would find everybody. */
const PageParams = Schema.Struct({
  limit: Schema.optionalWith(Limit, { exact: true }),
  cursor: Schema.optionalWith(Cursor, { exact: true }),
  email: Schema.optionalWith(Email, { exact: true })
}).annotations({ parseOptions: { errors: "all", onExcessProperty: "error" } })

const CustomersPage = Schema.Struct({
  items: Schema.Array(CustomerResource),
  next: Schema.NullOr(Schema.String).annotations({
    description: "The `cursor` of the next page; null: there is none"
  })
})

const Body = CustomerBody.annotations({ examples: [fullExample, shortExample] })

const MergePatch = HttpApiSchema.withEncoding(
  Schema.Record({ key: Schema.String, value: Schema.Unknown }).annotations({
    description: "A JSON Merge Patch (RFC 7396); the patched customer must be a valid one.",
    examples: [{ email: "ada@example.org", address: { line2: "2nd floor" } }, { address: "cahce 38" }]
  }),
  { kind: "Json", contentType: "application/merge-patch+json" }
)

const notFound = documented(404, "There is no such customer")
const conflict = documented(412, "The customer has another version than If-Match names")
const tooLarge = documented(413, "The body has more than 64 KiB")
const otherType = documented(415, "The body is not of a media type that is understood")

/** The status is not taken from a union, but from its members. */
const [Full, Short] = CustomerResource.members
const CreatedCustomer = Schema.Union(
  Full.annotations(HttpApiSchema.annotations({ status: 201 })),
  Short.annotations(HttpApiSchema.annotations({ status: 201 }))
)

const create = HttpApiEndpoint.post("create", "/customer")
  .setPayload(Body)
  .setHeaders(IdempotencyKey)
  .addSuccess(CreatedCustomer)
  .addError(tooLarge)
  .addError(otherType)
  .addError(documented(422, "The idempotency key was used with another body"))
  .annotate(OpenApi.Summary, "Makes a customer")
  .annotate(OpenApi.Description, "Permission `customers:write`. Answers `Location` and `ETag`.")

const get = HttpApiEndpoint.get("get", "/customer/:uid")
  .setPath(Uid)
  .setHeaders(IfNoneMatch)
  .addSuccess(CustomerResource)
  .addError(notFound)
  .annotate(OpenApi.Summary, "Reads a customer")
  .annotate(
    OpenApi.Description,
    'Permission `customers:read`. Answers the version as `ETag`, for example `"3"`; 304 if `If-None-Match` names it.'
  )

const replace = HttpApiEndpoint.put("replace", "/customer/:uid")
  .setPath(Uid)
  .setPayload(Body)
  .setHeaders(IfMatch)
  .addSuccess(CustomerResource)
  .addError(notFound)
  .addError(conflict)
  .addError(tooLarge)
  .addError(otherType)
  .annotate(OpenApi.Summary, "Puts another customer in the place of one")
  .annotate(OpenApi.Description, "Permission `customers:write`. Makes no customer where there is none.")

const patch = HttpApiEndpoint.patch("patch", "/customer/:uid")
  .setPath(Uid)
  .setPayload(MergePatch)
  .setHeaders(IfMatch)
  .addSuccess(CustomerResource)
  .addError(notFound)
  .addError(conflict)
  .addError(tooLarge)
  .addError(otherType)
  .annotate(OpenApi.Summary, "Changes some fields of a customer")
  .annotate(OpenApi.Description, "Permission `customers:write`. Takes `application/json`, too.")

const remove = HttpApiEndpoint.del("remove", "/customer/:uid")
  .setPath(Uid)
  .setHeaders(IfMatch)
  .addSuccess(HttpApiSchema.NoContent)
  .addError(notFound)
  .addError(conflict)
  .annotate(OpenApi.Summary, "Deletes a customer")
  .annotate(OpenApi.Description, "Permission `customers:write`.")

const list = HttpApiEndpoint.get("list", "/customers")
  .setUrlParams(PageParams)
  .addSuccess(CustomersPage)
  .annotate(OpenApi.Summary, "Lists customers by rising ids, a page at a time")
  .annotate(
    OpenApi.Description,
    "Permission `customers:read`. `email` finds those with exactly this address."
  )

const group = <const Name extends string>(name: Name) =>
  HttpApiGroup.make(name)
    .add(create)
    .add(get)
    .add(replace)
    .add(patch)
    .add(remove)
    .add(list)
    .addError(forbidden)
    .addError(faulty)
    .addError(unavailable)
    .middleware(Access)

/** Customers in MongoDB. */
export const CustomersV1 = group("customersV1")
  .prefix("/v1")
  .annotate(OpenApi.Title, "customers v1")
  .annotate(OpenApi.Description, "Customers in MongoDB.")

/** The same in Redis. */
export const CustomersV2 = group("customersV2")
  .prefix("/v2")
  .annotate(OpenApi.Title, "customers v2")
  .annotate(
    OpenApi.Description,
    "Customers in Redis. A write shows at once, and MongoDB decides on it moments later; until then answers have the " +
      "header `X-Pending`. `ETag` and `If-Match` are about the version last seen from MongoDB, which compares it again."
  )
