import { MessageHeaders, TraceContext } from "@twinbox/outbox"
import type { RedisError, RedisOutbox } from "@twinbox/redis"
import { Clock, Context, Effect, Either, Layer, Option, Schema } from "effect"
import { ObjectId } from "mongodb"
import { complete, type CustomerBody } from "./CustomerBody.ts"
import { CustomerJson } from "./CustomerJson.ts"
import { CustomerOutbox } from "./CustomerOutbox.ts"
import {
  type CustomerStore,
  CustomerStoreError,
  type CustomerStoreReason,
  type Patch,
  type StoredCustomer
} from "./CustomerStore.ts"
import type { IdempotencyKey } from "./IdempotencyKey.ts"

/** The customers of v2: those of Redis, which MongoDB decides on later. */
export class RedisCustomers extends Context.Tag("@twinbox/reference-app/RedisCustomers")<
  RedisCustomers,
  CustomerStore
>() {}

/** So often is a patch made anew for a customer that others keep changing. */
const maxPatchAttempts = 10

const decodeJson = Schema.decodeUnknownEither(CustomerJson)

const misfit = new CustomerStoreError({
  reason: "Failed",
  cause: { message: "a customer in Redis does not fit the Schema" }
})

const toStored = ({ document, id, pending, version }: RedisOutbox.Shown) =>
  Either.mapBoth(decodeJson(document), {
    onLeft: () => misfit,
    onRight: (customer): StoredCustomer => ({
      uid: id,
      version,
      customer,
      ...(pending === undefined ? {} : { pending })
    })
  })

/** An error of a read, as one of the store. */
export const readFailed = (error: RedisError.RedisError): CustomerStoreError =>
  new CustomerStoreError({ reason: error.retryable ? "Unavailable" : "Failed", cause: error })

const reasonOf = (error: RedisOutbox.WriteRefused | RedisError.RedisError): CustomerStoreReason => {
  switch (error.reason) {
    case "NotFound":
    case "VersionConflict":
    case "KeyReused":
      return error.reason
    // The command may have arrived before the connection was lost.
    case "Unavailable":
      return "OutcomeUnknown"
    default:
      return error.retryable ? "Unavailable" : "Failed"
  }
}

/** An error of a write, as one of the store. */
export const writeFailed = (error: RedisOutbox.WriteRefused | RedisError.RedisError): CustomerStoreError =>
  new CustomerStoreError({ reason: reasonOf(error), cause: error })

const isChanged = (error: RedisOutbox.WriteRefused | RedisError.RedisError): boolean =>
  error.reason === "Changed"

const expecting = (expectedVersion: number | undefined) =>
  expectedVersion === undefined ? {} : { expectedVersion }

const nowIso = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis).toISOString())

/** Messages that come of a write carry on its trace and what else was given to them. */
const messageHeaders = Effect.zipWith(TraceContext.current, MessageHeaders.current, (trace, headers) =>
  Option.match(trace, {
    onNone: () => headers,
    onSome: (traceparent) => TraceContext.addTo(headers, traceparent)
  })
)

const make = (outbox: RedisOutbox.RedisOutbox): CustomerStore => {
  const write = (write: RedisOutbox.Write) =>
    Effect.flatMap(messageHeaders, (headers) => outbox.write({ ...write, headers }))

  const shown = (uid: string) => Effect.mapError(outbox.get(uid), readFailed)

  /** What a write shows, until MongoDB has decided. */
  const pendingOn = (
    { id, pending, version }: RedisOutbox.Written,
    customer: CustomerJson
  ): StoredCustomer => ({
    uid: id,
    version,
    customer,
    pending
  })

  /** The customer that was made when the key was used. What the body leaves out is read. */
  const repeated = ({ id, pending, version }: RedisOutbox.Written, body: CustomerBody, now: string) =>
    Effect.map(shown(id), (found) => {
      const stored = Option.flatMap(found, (it) => Either.getRight(toStored(it)))
      const createdAt = Option.match(stored, {
        onNone: () => now,
        onSome: ({ customer }) => ("createdAt" in customer ? customer.createdAt : now)
      })
      const isPending = Option.exists(stored, (it) => it.pending === pending)
      return { uid: id, version, customer: complete(body, createdAt), ...(isPending ? { pending } : {}) }
    })

  const create = (body: CustomerBody, idempotency: IdempotencyKey | undefined) =>
    Effect.gen(function* () {
      const now = yield* nowIso
      const document = complete(body, now)
      const id = new ObjectId().toHexString()
      const written = yield* Effect.mapError(
        write({ operation: "create", id, document, ...(idempotency === undefined ? {} : { idempotency }) }),
        writeFailed
      )
      return written.isRepeat ? yield* repeated(written, body, now) : pendingOn(written, document)
    })

  const patchOnce = (uid: string, { apply, document: patch }: Patch, expectedVersion: number | undefined) =>
    Effect.gen(function* () {
      const found = yield* shown(uid)
      if (Option.isNone(found)) return yield* new CustomerStoreError({ reason: "NotFound" })
      const current = yield* toStored(found.value)
      const document = yield* apply(current.customer)
      const basis = { version: found.value.version, pending: found.value.pending }
      const change = { operation: "patch", id: uid, document, patch, basis } as const
      const written = yield* Effect.either(write({ ...change, ...expecting(expectedVersion) }))
      if (Either.isRight(written)) return Option.some(pendingOn(written.right, document))
      return isChanged(written.left) ? Option.none() : yield* writeFailed(written.left)
    })

  return {
    create,
    get: (uid) => Effect.flatMap(shown(uid), (found) => Effect.transposeOption(Option.map(found, toStored))),
    replace: (uid, document, expectedVersion) =>
      Effect.mapBoth(write({ operation: "replace", id: uid, document, ...expecting(expectedVersion) }), {
        onSuccess: (written) => pendingOn(written, document),
        onFailure: writeFailed
      }),
    patch: (uid, patch, expectedVersion) =>
      patchOnce(uid, patch, expectedVersion).pipe(
        Effect.repeat({ until: Option.isSome, times: maxPatchAttempts - 1 }),
        Effect.flatMap(
          Option.match({
            onNone: () => new CustomerStoreError({ reason: "Unavailable" }),
            onSome: (stored) => Effect.succeed(stored)
          })
        )
      ),
    remove: (uid, expectedVersion) =>
      Effect.mapBoth(write({ operation: "delete", id: uid, document: null, ...expecting(expectedVersion) }), {
        onSuccess: ({ pending }) => ({ pending }),
        onFailure: writeFailed
      }),
    list: ({ after, email, limit }) =>
      outbox
        .list({
          limit,
          ...(after === undefined ? {} : { after }),
          ...(email === undefined ? {} : { where: { index: "email", value: email } })
        })
        .pipe(
          Effect.mapError(readFailed),
          Effect.flatMap((found) => Either.all(found.map(toStored)))
        )
  }
}

const absent = Effect.fail(new CustomerStoreError({ reason: "Absent" }))

/** Where there is no Redis there are no customers of v2. */
const nowhere: CustomerStore = {
  create: () => absent,
  get: () => absent,
  replace: () => absent,
  patch: () => absent,
  remove: () => absent,
  list: () => absent
}

export const layer: Layer.Layer<RedisCustomers, never, CustomerOutbox> = Layer.effect(
  RedisCustomers,
  Effect.map(CustomerOutbox, Option.match({ onNone: () => nowhere, onSome: make }))
)
