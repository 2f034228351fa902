import { Schema } from "effect"
import * as Base62 from "./Base62.ts"
import type { Pseudonym } from "./Pseudonym.ts"

/** An anonymized e-mail address: `pseudonym@domain`. */
export type TwinEmail = typeof TwinEmail.Type

/** Stands for the domain when there is none to show; reserved by RFC 2606, so no real address has it. */
export const invalidDomain = "invalid"

// RFC 1035 section 2.3.4.
const maxDomainLength = 253

// Two labels at least and letters in the last: "anna@Smith", "tom@555.1234" and "a@John Smith" show a name or a
// number behind the @, not a domain.
const hostname =
  /^(?:[\p{L}\p{M}\p{Nd}](?:[\p{L}\p{M}\p{Nd}-]{0,61}[\p{L}\p{M}\p{Nd}])?\.)+(?:\p{L}[\p{L}\p{M}]{1,62}|xn--[0-9A-Za-z-]{1,59})$/u

/** Whether a text has the shape of a public host name (letters of any script, digits, hyphens, two labels or more). */
export const isDomain = (text: string): boolean => text.length <= maxDomainLength && hostname.test(text)

/** What of an address is hashed, and the domain that its twin shows. */
export interface Parts {
  readonly hashed: string
  readonly domain: string
}

/**
 * Splits at the last `@`. Without one, or when what follows is no host name, the whole text is hashed and the
 * domain is `invalid`. The domain is kept letter by letter; the part before it may be empty or hold further `@`.
 */
export const split = (text: string): Parts => {
  const at = text.lastIndexOf("@")
  const domain = text.slice(at + 1)
  if (at === -1 || !isDomain(domain)) return { hashed: text, domain: invalidDomain }
  return { hashed: text.slice(0, at), domain }
}

/** Turns an address into its twin with the pseudonym function of its field. */
export const anonymize =
  (pseudonym: (text: string) => Pseudonym) =>
  (text: string): TwinEmail => {
    const parts = split(text)
    return `${pseudonym(parts.hashed)}@${parts.domain}` as TwinEmail
  }

/** Whether a text is a pseudonym of that length, an `@`, and a domain or `invalid`. */
export const isTwin = (text: string, length: number): boolean => {
  const domain = text.slice(length + 1)
  if (text[length] !== "@" || !Base62.startsWithLetters(text, length)) return false
  return domain === invalidDomain || isDomain(domain)
}

const twinOfLength = (length: number) =>
  Schema.String.pipe(
    Schema.filter((text) => isTwin(text, length), {
      description: `a pseudonym of ${length} characters, @, and a domain`,
      arbitrary: () => (fc) =>
        fc
          .tuple(
            fc.stringMatching(new RegExp(`^[0-9A-Za-z]{${length}}$`)),
            fc.constantFrom("example.org", "invalid")
          )
          .map((parts) => parts.join("@"))
    }),
    Schema.brand("@twinbox/anonymize/TwinEmail")
  )

/** Schema of an anonymized address with a pseudonym of 8 characters. */
export const TwinEmail = twinOfLength(8)

/** Schema of an anonymized address with a pseudonym of another length. */
export const ofLength = (length: number): Schema.Schema<TwinEmail> => Schema.typeSchema(twinOfLength(length))
