import { Schema } from "effect"
import * as Base62 from "./Base62.ts"
import type { HmacSha256 } from "./HmacSha256.ts"

/** The characters that stand for one value: 8 of `[0-9A-Za-z]`, or the length that the field asks for. */
export type Pseudonym = typeof Pseudonym.Type

/** Schema of a pseudonym of 8 characters, the default length. */
export const Pseudonym = Schema.String.pipe(
  Schema.pattern(/^[0-9A-Za-z]{8}$/),
  Schema.brand("@twinbox/anonymize/Pseudonym")
)

/** Characters of a pseudonym, unless a field asks for another length. 62^8 is about 2.2 * 10^14. */
export const defaultLength = 8

/** Fewer characters than this collide all the time: 62^4 is about 1.5 * 10^7. */
export const minLength = 4

/** 22 characters hold 130 bits; more add nothing. */
export const maxLength = 22

/** Schema of a pseudonym of another length. */
export const ofLength = (length: number): Schema.Schema<Pseudonym> =>
  Schema.typeSchema(
    Schema.String.pipe(
      Schema.pattern(new RegExp(`^[0-9A-Za-z]{${length}}$`)),
      Schema.brand("@twinbox/anonymize/Pseudonym")
    )
  )

/** Separates these messages from everything else that the same secret may be used for. */
const domain = "twinbox/pseudonym/v1"

/**
 * The pseudonym function of one field:
 *
 * block n = HMAC-SHA-256(secret, byte n || "twinbox/pseudonym/v1" || 00 || UTF-8(scope) || 00 || UTF-8(NFC(text)))
 *
 * and the pseudonym is the first `length` characters that `Base62.draw` takes from block 0, 1, 2, ... Neither the
 * domain nor a scope contains 00 and the text comes last, so no two inputs share a message.
 */
export const make = (hmac: HmacSha256, scope: string, length: number): ((text: string) => Pseudonym) => {
  const digest = hmac.prefixed(Buffer.from(`${domain}\0${scope}\0`, "utf8"))
  return (text) => Base62.draw(length, (counter) => digest(counter, text)) as Pseudonym
}
