import { Data, type Effect, type Either, type Option } from "effect"
import type { CustomerBody } from "./CustomerBody.ts"
import type { CustomerJson } from "./CustomerJson.ts"
import type { FieldProblem } from "./FieldProblem.ts"
import type { IdempotencyKey } from "./IdempotencyKey.ts"

/**
 * - `NotFound`: there is no customer of this id.
 * - `VersionConflict`: it has another version than the expected one.
 * - `KeyReused`: the idempotency key came with another body before.
 * - `Unavailable`: nothing was done; the same may succeed later.
 * - `OutcomeUnknown`: the write may have been made or not.
 * - `Absent`: this process runs without the server of this store.
 * - `Failed`: trying again does not help.
 */
export type CustomerStoreReason =
  "NotFound" | "VersionConflict" | "KeyReused" | "Unavailable" | "OutcomeUnknown" | "Absent" | "Failed"

/** What a store of customers can fail with. The cause has no values in its message. */
export class CustomerStoreError extends Data.TaggedError("CustomerStoreError")<{
  readonly reason: CustomerStoreReason
  readonly cause?: { readonly message: string }
}> {
  get retryable(): boolean {
    return this.reason === "Unavailable"
  }
  override get message() {
    return `customers: ${this.reason}${this.cause === undefined ? "" : ` (${this.cause.message})`}`
  }
}

/** A patched customer would not be one. */
export class PatchRefused extends Data.TaggedError("PatchRefused")<{
  readonly errors: ReadonlyArray<FieldProblem>
}> {}

/** A customer in a store. */
export interface StoredCustomer {
  readonly uid: string
  /** For v2, the version last seen from MongoDB; 0: none yet. */
  readonly version: number
  readonly customer: CustomerJson
  /** Position of a write that MongoDB has not decided on yet. */
  readonly pending?: string
}

/** What is left of a write that removes. */
export interface Removed {
  readonly pending?: string
}

/** A change of a customer as it is stored, or what speaks against it. */
export interface Patch {
  /** A JSON Merge Patch: https://www.rfc-editor.org/rfc/rfc7396 */
  readonly document: unknown
  readonly apply: (current: CustomerJson) => Either.Either<CustomerJson, PatchRefused>
}

export interface Page {
  /** Ids that come after this one. */
  readonly after: string | undefined
  readonly limit: number
  readonly email: string | undefined
}

/** Where the API keeps customers. A write that has started must not be interrupted. */
export interface CustomerStore {
  /** With a key that was used for the same body, the customer that was made then. */
  readonly create: (
    body: CustomerBody,
    idempotency: IdempotencyKey | undefined
  ) => Effect.Effect<StoredCustomer, CustomerStoreError>
  readonly get: (uid: string) => Effect.Effect<Option.Option<StoredCustomer>, CustomerStoreError>
  readonly replace: (
    uid: string,
    customer: CustomerJson,
    expectedVersion: number | undefined
  ) => Effect.Effect<StoredCustomer, CustomerStoreError>
  readonly patch: (
    uid: string,
    patch: Patch,
    expectedVersion: number | undefined
  ) => Effect.Effect<StoredCustomer, CustomerStoreError | PatchRefused>
  readonly remove: (
    uid: string,
    expectedVersion: number | undefined
  ) => Effect.Effect<Removed, CustomerStoreError>
  /** By rising ids. */
  readonly list: (page: Page) => Effect.Effect<ReadonlyArray<StoredCustomer>, CustomerStoreError>
}
