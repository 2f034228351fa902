import { Either } from "effect"
import type { SecretErrorReason } from "./AnonymizeError.ts"

/** 128 bits. */
const minBytes = 16
const minDistinctBytes = 8

const hexadecimal = /^[0-9A-Fa-f]+$/
const base64Text = /^(?:[0-9A-Za-z+/]+|[0-9A-Za-z_-]+)={0,2}$/

const decodeBase64 = (text: string): Uint8Array | undefined => {
  if (!base64Text.test(text)) return undefined
  const bare = text.replace(/=+$/, "")
  if (text.length !== bare.length && text.length % 4 !== 0) return undefined
  const bytes = Buffer.from(bare, "base64")
  // A stray last character would be dropped in silence and two texts would be one secret.
  const again = bytes.toString("base64url")
  return again === bare.replaceAll("+", "-").replaceAll("/", "_") ? bytes : undefined
}

// Text of hexadecimal digits only is never taken as base64: that would pass 96 bits off as 144.
const decode = (text: string): Uint8Array | undefined => {
  if (!hexadecimal.test(text)) return decodeBase64(text)
  return text.length % 2 === 0 ? Buffer.from(text, "hex") : undefined
}

const repeats = (bytes: Uint8Array): boolean => {
  for (let period = 1; period < minBytes; period++) {
    if (bytes.every((byte, index) => byte === bytes[index % period])) return true
  }
  return false
}

const isProgression = (bytes: Uint8Array): boolean => {
  const step = ((bytes[1] ?? 0) - (bytes[0] ?? 0)) & 0xff
  return bytes.every((byte, index) => index === 0 || ((byte - (bytes[index - 1] ?? 0)) & 0xff) === step)
}

const isWeak = (bytes: Uint8Array): boolean =>
  new Set(bytes).size < minDistinctBytes || repeats(bytes) || isProgression(bytes)

/**
 * Reads a secret written in hexadecimal, base64 or base64url (with or without `=`); blanks around it are ignored.
 * Gives its bytes, at least 16 of them, or the reason why it is refused.
 */
export const parse = (text: string): Either.Either<Uint8Array, SecretErrorReason> => {
  const bare = text.trim()
  if (bare === "") return Either.left("Missing")
  const bytes = decode(bare)
  if (bytes === undefined) return Either.left("Malformed")
  if (bytes.length < minBytes) return Either.left("TooShort")
  return isWeak(bytes) ? Either.left("Weak") : Either.right(bytes)
}
