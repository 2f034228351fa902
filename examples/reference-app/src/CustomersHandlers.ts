import { HttpApiBuilder, type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { MergePatch } from "@twinbox/repository"
import { Clock, Effect, Either, Layer, Option } from "effect"
import { Caller, need } from "./Access.ts"
import { Api } from "./Api.ts"
import * as Cursor from "./Cursor.ts"
import * as CustomerBody from "./CustomerBody.ts"
import type { CustomerJson, CustomerResource } from "./CustomerJson.ts"
import { type CustomersV1, defaultPage } from "./CustomersApi.ts"
import { type CustomerStore, PatchRefused, type Removed, type StoredCustomer } from "./CustomerStore.ts"
import * as ETag from "./ETag.ts"
import * as IdempotencyKey from "./IdempotencyKey.ts"
import { MongoCustomers } from "./MongoCustomers.ts"
import * as Precondition from "./Precondition.ts"
import { invalid } from "./Problem.ts"
import { RedisCustomers } from "./RedisCustomers.ts"
import * as RequestBody from "./RequestBody.ts"
import { RequestLimits } from "./RequestLimits.ts"
import * as StoreProblem from "./StoreProblem.ts"

type Request = HttpServerRequest.HttpServerRequest

interface OnCustomer {
  readonly path: { readonly uid: string }
}

const json = ["application/json"]
const mergePatch = ["application/merge-patch+json", ...json]

/** Personal data stays with the client that asked, which asks again whether it still holds. */
const caching = { "cache-control": "private, no-cache" }

const resourceOf = ({ customer, uid, version }: StoredCustomer): CustomerResource => ({
  uid,
  version,
  ...customer
})

const pendingHeader = ({ pending }: Removed) => (pending === undefined ? {} : { "x-pending": pending })

const headersOf = (stored: StoredCustomer) => ({
  ...caching,
  ...pendingHeader(stored),
  etag: ETag.of(stored.version)
})

const answer = (stored: StoredCustomer, status = 200, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.unsafeJson(resourceOf(stored), { status, headers: { ...headersOf(stored), ...headers } })

const customerIn = (body: RequestBody.JsonBody) => Either.mapLeft(CustomerBody.decode(body.value), invalid)

/** Merges a patch into a customer, and checks what comes of it. */
const patched =
  (patch: unknown) =>
  (current: CustomerJson): Either.Either<CustomerJson, PatchRefused> =>
    MergePatch.apply(current, patch).pipe(
      Either.mapLeft(({ message }) => [{ path: "", problem: message }]),
      Either.flatMap(CustomerBody.decodeWhole),
      Either.mapLeft((errors) => new PatchRefused({ errors }))
    )

const idempotencyOf = (header: string | undefined, user: string, body: string) =>
  header === undefined
    ? Either.right(undefined)
    : Either.mapBoth(IdempotencyKey.parse(header), {
        onLeft: (problem) => invalid([{ path: "idempotency-key", problem }]),
        onRight: (key) => IdempotencyKey.of(user, key, body)
      })

const nowIso = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis).toISOString())

/** What the endpoints do, over a store, under a prefix such as `/v1`. A write that has begun is not interrupted. */
const operations = (store: CustomerStore, prefix: string) => ({
  create: ({
    headers,
    request
  }: {
    readonly headers: { readonly "idempotency-key"?: string | undefined }
    readonly request: Request
  }) =>
    Effect.gen(function* () {
      yield* need("customers:write")
      const { user } = yield* Caller
      const body = yield* RequestBody.json(request, json)
      const idempotency = yield* idempotencyOf(headers["idempotency-key"], user, body.text)
      const customer = yield* customerIn(body)
      const created = yield* Effect.uninterruptible(store.create(customer, idempotency))
      return answer(created, 201, { location: `${prefix}/customer/${encodeURIComponent(created.uid)}` })
    }),

  get: ({ headers, path }: OnCustomer & { readonly headers: Precondition.Headers }) =>
    Effect.gen(function* () {
      yield* need("customers:read")
      const tags = yield* Precondition.tagsOf("if-none-match", headers)
      const found = yield* store.get(path.uid)
      if (Option.isNone(found)) return yield* StoreProblem.notFound
      const stored = found.value
      // What is pending shows something else than the version that it still has.
      const isKnown = tags !== undefined && stored.pending === undefined && ETag.isNamed(tags, stored.version)
      return isKnown ? HttpServerResponse.empty({ status: 304, headers: headersOf(stored) }) : answer(stored)
    }),

  replace: ({
    headers,
    path,
    request
  }: OnCustomer & { readonly headers: Precondition.Headers; readonly request: Request }) =>
    Effect.gen(function* () {
      yield* need("customers:write")
      const body = yield* customerIn(yield* RequestBody.json(request, json))
      const customer = CustomerBody.complete(body, yield* nowIso)
      const expected = yield* Precondition.expectedVersion(headers, store.get(path.uid))
      return answer(yield* Effect.uninterruptible(store.replace(path.uid, customer, expected)))
    }),

  patch: ({
    headers,
    path,
    request
  }: OnCustomer & { readonly headers: Precondition.Headers; readonly request: Request }) =>
    Effect.gen(function* () {
      yield* need("customers:write")
      const { value } = yield* RequestBody.json(request, mergePatch)
      const expected = yield* Precondition.expectedVersion(headers, store.get(path.uid))
      const patch = { document: value, apply: patched(value) }
      return answer(yield* Effect.uninterruptible(store.patch(path.uid, patch, expected)))
    }),

  remove: ({ headers, path }: OnCustomer & { readonly headers: Precondition.Headers }) =>
    Effect.gen(function* () {
      yield* need("customers:write")
      const expected = yield* Precondition.expectedVersion(headers, store.get(path.uid))
      const removed = yield* Effect.uninterruptible(store.remove(path.uid, expected))
      return HttpServerResponse.empty({ status: 204, headers: pendingHeader(removed) })
    }),

  list: ({
    urlParams: { cursor, email, limit = defaultPage }
  }: {
    readonly urlParams: { readonly limit?: number; readonly cursor?: string; readonly email?: string }
  }) =>
    Effect.gen(function* () {
      yield* need("customers:read")
      // One more than asked for tells whether there is another page.
      const found = yield* store.list({ after: cursor, limit: limit + 1, email })
      const items = found.slice(0, limit)
      const last = items.at(-1)
      return HttpServerResponse.unsafeJson(
        {
          items: items.map(resourceOf),
          next: found.length > limit && last !== undefined ? Cursor.of(last.uid) : null
        },
        { headers: caching }
      )
    })
})

/** The work of a request, within the limits, and with the errors of the store as problems. */
const bounded =
  ({ run }: RequestLimits["Type"]) =>
  <I, A, R>(work: (input: I) => Effect.Effect<A, StoreProblem.Source, R>) =>
  (input: I) =>
    Effect.mapError(run(work(input)), StoreProblem.of)

/** All endpoints over a store; those of v1 and v2 have the same types. */
const implement =
  (store: CustomerStore, prefix: string) =>
  (handlers: HttpApiBuilder.Handlers.FromGroup<never, never, typeof CustomersV1>) =>
    Effect.map(RequestLimits, (limits) => {
      const { create, get, list, patch, remove, replace } = operations(store, prefix)
      const within = bounded(limits)
      return handlers
        .handleRaw("create", within(create))
        .handle("get", within(get))
        .handleRaw("replace", within(replace))
        .handleRaw("patch", within(patch))
        .handle("remove", within(remove))
        .handle("list", within(list))
    })

const v1 = HttpApiBuilder.group(Api, "customersV1", (handlers) =>
  Effect.flatMap(MongoCustomers, (store) => implement(store, "/v1")(handlers))
)

const v2 = HttpApiBuilder.group(Api, "customersV2", (handlers) =>
  Effect.flatMap(RedisCustomers, (store) => implement(store, "/v2")(handlers))
)

/** Answers for customers in either store. */
export const layer = Layer.merge(v1, v2)
