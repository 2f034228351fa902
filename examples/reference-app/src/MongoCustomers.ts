import type { MongoError } from "@twinbox/mongodb"
import { MongoCall, MongoDatabase, Transaction } from "@twinbox/mongodb"
import type { NotFound, ReadError, WriteError } from "@twinbox/repository"
import { Clock, Context, Effect, Layer, Option } from "effect"
import { ObjectId } from "mongodb"
import { type Customer, customerCollection } from "./Customer.ts"
import { complete, type CustomerBody } from "./CustomerBody.ts"
import type { CustomerJson } from "./CustomerJson.ts"
import { Customers } from "./Customers.ts"
import {
  type CustomerStore,
  CustomerStoreError,
  type CustomerStoreReason,
  type Page,
  type Patch,
  PatchRefused,
  type StoredCustomer
} from "./CustomerStore.ts"
import type { IdempotencyKey } from "./IdempotencyKey.ts"
import * as IdempotencyKeys from "./IdempotencyKeys.ts"

/** The customers of v1: those of MongoDB. */
export class MongoCustomers extends Context.Tag("@twinbox/reference-app/MongoCustomers")<
  MongoCustomers,
  CustomerStore
>() {}

type Stored = Customer & { readonly _id: string; readonly version: number }

const reasonOf = (error: WriteError | ReadError | NotFound): CustomerStoreReason => {
  switch (error._tag) {
    case "NotFound":
    case "VersionConflict":
      return error._tag
    case "CommitUnknown":
      return "OutcomeUnknown"
    default:
      return error.retryable ? "Unavailable" : "Failed"
  }
}

/** An error of the repository, as one of the store. */
export const failed = (error: WriteError | ReadError): CustomerStoreError =>
  new CustomerStoreError({ reason: reasonOf(error), cause: { message: error.message } })

export const toCustomer = (json: CustomerJson): Customer =>
  "name" in json ? json : { ...json, createdAt: new Date(json.createdAt) }

const toStored = ({ _id, version, ...customer }: Stored): StoredCustomer => ({
  uid: _id,
  version,
  customer: "name" in customer ? customer : { ...customer, createdAt: customer.createdAt.toISOString() }
})

const now = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis))

/** Which of the two filters a page has: ids are text, those of foreign programs may be something else. */
const filterOf = ({ after, email }: Page) => ({
  _id: { $gt: after ?? "" },
  ...(email === undefined ? {} : { email })
})

/** Finds customers by their e-mail, in the order of pages. */
const ensureIndex = Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
  MongoCall.attempt(() =>
    db
      .collection(customerCollection)
      .createIndex(
        { email: 1, _id: 1 },
        { name: "email", partialFilterExpression: { email: { $exists: true } } }
      )
  )
)

const isKeyUsed = (error: WriteError): error is MongoError.DuplicateKey =>
  error._tag === "DuplicateKey" && error.collection === IdempotencyKeys.collection

const make = Effect.gen(function* () {
  const customers = yield* Customers
  const database = yield* MongoDatabase.MongoDatabase
  const keys = yield* IdempotencyKeys.make
  yield* ensureIndex

  const createNew = (body: CustomerBody) =>
    Effect.flatMap(now, (createdAt) => customers.create(toCustomer(complete(body, createdAt.toISOString()))))

  /** The customer and the use of its key, both or neither. */
  const createNoted = (body: CustomerBody, key: IdempotencyKey) =>
    Effect.flatMap(now, (createdAt) => {
      const uid = new ObjectId().toHexString()
      const fields = toCustomer(complete(body, createdAt.toISOString()))
      const both = Effect.tap(customers.create({ ...fields, _id: uid }), ({ version }) =>
        keys.note(key, { uid, version, createdAt })
      )
      return Transaction.runIn(database, both)
    })

  /** The customer that was made when the key was used. Its fields are in the body, which is the same. */
  const repeated = (body: CustomerBody, key: IdempotencyKey) =>
    Effect.gen(function* () {
      const use = yield* Effect.mapError(keys.find(key), failed)
      // It was there a moment ago, and has expired.
      if (Option.isNone(use)) return yield* new CustomerStoreError({ reason: "Unavailable" })
      const { createdAt, isSameBody, uid, version } = use.value
      if (!isSameBody) return yield* new CustomerStoreError({ reason: "KeyReused" })
      return { uid, version, customer: complete(body, createdAt.toISOString()) }
    })

  const createOnce = (body: CustomerBody, key: IdempotencyKey) =>
    Effect.map(createNoted(body, key), toStored).pipe(
      Effect.catchAll((error) => (isKeyUsed(error) ? repeated(body, key) : Effect.fail(failed(error))))
    )

  const get = (uid: string) =>
    Effect.mapBoth(customers.get(uid), { onSuccess: Option.map(toStored), onFailure: failed })

  /**
   * The patch is checked against the customer as it is now, and MongoDB applies it to the one that it has by then:
   * what each field may be does not depend on the others.
   */
  const patch = (uid: string, { apply, document }: Patch, expectedVersion: number | undefined) =>
    Effect.gen(function* () {
      const current = yield* get(uid)
      if (Option.isNone(current)) return yield* new CustomerStoreError({ reason: "NotFound" })
      yield* apply(current.value.customer)
      return yield* Effect.mapBoth(customers.patch(uid, document, expectedVersion), {
        onSuccess: toStored,
        onFailure: (error) =>
          error._tag === "InvalidDocument" && !error.stored
            ? new PatchRefused({ errors: error.issues })
            : failed(error)
      })
    })

  return MongoCustomers.of({
    create: (body, key) =>
      key === undefined
        ? Effect.mapBoth(createNew(body), { onSuccess: toStored, onFailure: failed })
        : createOnce(body, key),
    get,
    replace: (uid, customer, expectedVersion) =>
      Effect.mapBoth(customers.replace(uid, toCustomer(customer), expectedVersion), {
        onSuccess: toStored,
        onFailure: failed
      }),
    patch,
    remove: (uid, expectedVersion) =>
      Effect.mapBoth(customers.delete(uid, expectedVersion), { onSuccess: () => ({}), onFailure: failed }),
    list: (page) =>
      Effect.mapBoth(customers.find(filterOf(page), { sort: { _id: 1 }, limit: page.limit }), {
        onSuccess: (found) => found.map(toStored),
        onFailure: failed
      })
  })
})

/** Makes the index for e-mails and the collection of idempotency keys. */
export const layer: Layer.Layer<
  MongoCustomers,
  MongoError.MongoError,
  Customers | MongoDatabase.MongoDatabase
> = Layer.effect(MongoCustomers, make)
