import { hash } from "node:crypto"
import { Schema } from "effect"
import * as Base62 from "./Base62.ts"

/** The first 8 hexadecimal characters of a SHA-256: what some older systems store. Weak, see `hex`. */
export type Sha256Hex = typeof Sha256Hex.Type

/** Schema of `Sha256Hex`. */
export const Sha256Hex = Schema.String.pipe(
  Schema.pattern(/^[0-9a-f]{8}$/),
  Schema.brand("@twinbox/anonymize/Sha256Hex")
)

/** 8 characters `[0-9A-Za-z]` drawn from a SHA-256 without a key. Weak, see `hex`. */
export type Sha256Base62 = typeof Sha256Base62.Type

/** Schema of `Sha256Base62`. */
export const Sha256Base62 = Schema.String.pipe(
  Schema.pattern(/^[0-9A-Za-z]{8}$/),
  Schema.brand("@twinbox/anonymize/Sha256Base62")
)

/**
 * First 8 hexadecimal characters of SHA-256(UTF-8(text)), lower case; the text is taken as it is, without NFC.
 *
 * Weak: there is no secret, so anyone can hash a list of names or addresses and look the results up; and 32 bits
 * collide after some 77,000 values. Use it only to match data that exists already.
 */
export const hex = (text: string): Sha256Hex => hash("sha256", text, "hex").slice(0, 8) as Sha256Hex

/**
 * 8 characters that `Base62.draw` takes from SHA-256(UTF-8(text)), then from the SHA-256 of that digest and so on.
 * Weak for want of a secret, as `hex`.
 */
export const base62 = (text: string): Sha256Base62 => {
  let digest = ""
  const block = (counter: number): string => {
    digest = hash("sha256", counter === 0 ? text : Buffer.from(digest, "latin1"), "binary")
    return digest
  }
  return Base62.draw(8, block) as Sha256Base62
}
