import { Effect, Either, Option } from "effect"
import { CustomerStoreError, type StoredCustomer } from "./CustomerStore.ts"
import * as ETag from "./ETag.ts"
import { invalid, type Problem } from "./Problem.ts"

export interface Headers {
  readonly "if-match"?: string | undefined
  readonly "if-none-match"?: string | undefined
}

const conflict = new CustomerStoreError({ reason: "VersionConflict" })

/** Reads a header of entity tags; none where it is absent. */
export const tagsOf = (
  name: keyof Headers,
  headers: Headers
): Either.Either<ETag.EntityTags | undefined, Problem> => {
  const header = headers[name]
  return header === undefined
    ? Either.right(undefined)
    : Either.mapLeft(ETag.parse(header), (problem) => invalid([{ path: name, problem }]))
}

/** Whether the preconditions hold for a version. */
const holds = (
  ifMatch: ETag.EntityTags | undefined,
  ifNoneMatch: ETag.EntityTags | undefined,
  version: number
): boolean =>
  (ifMatch === undefined || ifMatch === "any" || ETag.versionsOf(ifMatch).includes(version)) &&
  (ifNoneMatch === undefined || !ETag.isNamed(ifNoneMatch, version))

/**
 * The version that a write has to expect, after the preconditions of its request; undefined: any. The usual `If-Match`
 * names one version, which the store itself compares; for others the customer is read. What is not there is left to
 * the write: https://www.rfc-editor.org/rfc/rfc9110#section-13.2.1
 */
export const expectedVersion = (
  headers: Headers,
  read: Effect.Effect<Option.Option<StoredCustomer>, CustomerStoreError>
): Effect.Effect<number | undefined, Problem | CustomerStoreError> =>
  Effect.gen(function* () {
    const ifMatch = yield* tagsOf("if-match", headers)
    const ifNoneMatch = yield* tagsOf("if-none-match", headers)
    if (ifNoneMatch === undefined) {
      if (ifMatch === undefined || ifMatch === "any") return undefined
      const [version, ...others] = ETag.versionsOf(ifMatch)
      if (version !== undefined && others.length === 0) return version
    }
    const found = yield* read
    if (Option.isNone(found)) return undefined
    const { version } = found.value
    return holds(ifMatch, ifNoneMatch, version) ? version : yield* conflict
  })
