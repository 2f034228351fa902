import { createHash } from "node:crypto"
import { Either } from "effect"

/*
 * The header of https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
 */

/** What a store keeps of a key: neither the key nor the body can be read from it. */
export interface IdempotencyKey {
  /** Digest of the key and of whose it is: two users may choose the same. */
  readonly key: string
  /** Digest of the body. The key goes into it, so that short bodies cannot be guessed. */
  readonly digest: string
}

export const malformed = "must be 1 to 255 visible characters, in quotation marks or without"

/** A String of https://www.rfc-editor.org/rfc/rfc8941#section-3.3.3 without escapes; many clients leave the quotes out. */
const pattern = /^(?:"([\x20\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]{1,255}))$/

const sha256 = (...parts: ReadonlyArray<string>): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("hex")

/** Reads the header. */
export const parse = (header: string): Either.Either<string, string> => {
  const [, quoted, bare] = pattern.exec(header.trim()) ?? []
  const key = quoted ?? bare
  return key === undefined ? Either.left(malformed) : Either.right(key)
}

export const of = (user: string, key: string, body: string): IdempotencyKey => ({
  key: sha256(user, key),
  digest: sha256(key, body)
})
