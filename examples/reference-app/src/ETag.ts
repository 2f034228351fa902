import { Either } from "effect"

/*
 * Versions as entity tags: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
 */

interface EntityTag {
  readonly isWeak: boolean
  readonly opaque: string
}

/** What `If-Match` or `If-None-Match` name: whatever there is, or these tags. */
export type EntityTags = "any" | ReadonlyArray<EntityTag>

/** Neither `*` nor a list of entity tags. */
export const malformed = 'must be "*" or entity tags such as "3", with commas between them'

export const of = (version: number): string => `"${version}"`

const member = /[ \t]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|$)|[ \t]*,/y

/** Lists may have empty members: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1 */
export const parse = (header: string): Either.Either<EntityTags, string> => {
  if (header.trim() === "*") return Either.right("any")
  const tags: Array<EntityTag> = []
  member.lastIndex = 0
  while (member.lastIndex < header.length) {
    const match = member.exec(header)
    if (match === null) return Either.left(malformed)
    const [, weak, opaque] = match
    if (opaque !== undefined) tags.push({ isWeak: weak !== undefined, opaque })
  }
  return tags.length === 0 ? Either.left(malformed) : Either.right(tags)
}

const versionOf = ({ opaque }: EntityTag): number | undefined =>
  /^(?:0|[1-9]\d{0,15})$/.test(opaque) ? Number(opaque) : undefined

/** The versions that pass the strong comparison of `If-Match`: a weak tag never does. */
export const versionsOf = (tags: ReadonlyArray<EntityTag>): ReadonlyArray<number> =>
  tags.flatMap((tag) => (tag.isWeak ? [] : (versionOf(tag) ?? [])))

/** The weak comparison of `If-None-Match`. */
export const isNamed = (tags: EntityTags, version: number): boolean =>
  tags === "any" || tags.some((tag) => versionOf(tag) === version)
