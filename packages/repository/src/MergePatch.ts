import { Data, Either } from "effect"

/*
 * JSON Merge Patch, RFC 7396: https://www.rfc-editor.org/rfc/rfc7396
 */

/** Objects inside one another in a patch, at most. */
export const maxDepth = 100

/** A patch has more objects inside one another than `maxDepth`. Not retryable. */
export class PatchTooDeep extends Data.TaggedError("PatchTooDeep")<{ readonly maxDepth: number }> {
  readonly retryable = false
  override get message() {
    return `a merge patch has ${this.maxDepth} objects inside one another at most`
  }
}

type JsonObject = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isTooDeep = (patch: unknown, depth: number): boolean =>
  isObject(patch) &&
  (depth >= maxDepth || Object.values(patch).some((member) => isTooDeep(member, depth + 1)))

const merged = (target: unknown, patch: unknown): unknown => {
  if (!isObject(patch)) return patch
  // A map and `fromEntries`: an assignment to a member named `__proto__` would not make a member.
  const members = new Map(isObject(target) ? Object.entries(target) : [])
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) members.delete(name)
    else members.set(name, merged(members.get(name), value))
  }
  return Object.fromEntries(members)
}

/**
 * Merges a patch into a document; both are JSON values, and neither is changed. Members that are null in the patch go,
 * objects are merged, and everything else, lists too, takes the place of what was there.
 */
export const apply = (target: unknown, patch: unknown): Either.Either<unknown, PatchTooDeep> =>
  isTooDeep(patch, 0) ? Either.left(new PatchTooDeep({ maxDepth })) : Either.right(merged(target, patch))
