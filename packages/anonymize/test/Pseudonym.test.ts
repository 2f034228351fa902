import { createHmac } from "node:crypto"
import { FastCheck as fc } from "effect"
import { describe, expect, it } from "vitest"
import * as Base62 from "../src/Base62.ts"
import { HmacSha256 } from "../src/HmacSha256.ts"
import * as Pseudonym from "../src/Pseudonym.ts"
import { keyOf, otherSecretText } from "./Customer.ts"

const { hmac } = keyOf()

const collisions = (letters: number, values: number): number => {
  const pseudonym = Pseudonym.make(hmac, "collisions", letters)
  const seen = new Set<string>()
  for (let index = 0; index < values; index++) seen.add(pseudonym(`value ${index}`))
  return values - seen.size
}

describe("HMAC-SHA-256", () => {
  const text = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.string({ unit: "grapheme", maxLength: 300 }),
    fc.string({ unit: fc.constantFrom("a", "é", "Å", "e\u0308", "漢", "😀"), minLength: 150, maxLength: 600 })
  )

  it("is what createHmac computes, for any key, prefix, counter and text", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 150 }),
        fc.uint8Array({ maxLength: 80 }),
        fc.integer({ min: 0, max: 255 }),
        fc.array(text, { minLength: 1, maxLength: 4 }),
        (key, prefix, counter, texts) => {
          const digest = new HmacSha256(key).prefixed(prefix)
          for (const value of texts) {
            const message = Buffer.concat([
              Buffer.of(counter),
              prefix,
              Buffer.from(value.normalize("NFC"), "utf8")
            ])
            expect(digest(counter, value)).toBe(createHmac("sha256", key).update(message).digest("binary"))
          }
        }
      )
    )
  })

  it("takes a surrogate without its partner for U+FFFD", () => {
    const pseudonym = Pseudonym.make(hmac, "name", 8)
    for (const [broken, mended] of [
      ["\ud800", "\ufffd"],
      ["a\udc00b", "a\ufffdb"],
      ["é\udc00\ud800", "é\ufffd\ufffd"]
    ] as const) {
      expect(pseudonym(broken)).toBe(pseudonym(mended))
    }
  })
})

describe("drawing letters", () => {
  it("skips bytes from 248 up and goes on with the next block when one runs out", () => {
    const blocks = ["\xf8\xff\x00\xfe", "\x3d\x3e\xf9", "\xf7\x7b"]
    expect(Base62.draw(5, (counter) => blocks[counter] ?? "")).toBe("0z0zz")
  })

  it("gives up on a stream without letters instead of running forever", () => {
    expect(() => Base62.draw(8, () => "\xff".repeat(32))).toThrow(RangeError)
  })
})

describe("pseudonyms", () => {
  const inputs = fc.tuple(
    fc.string({ unit: "binary" }),
    fc.stringMatching(/^[a-z.]{1,20}$/),
    fc.integer({ min: 4, max: 22 })
  )

  it("are letters and digits, as many as asked for; a shorter one begins a longer one", () => {
    fc.assert(
      fc.property(inputs, ([value, scope, length]) => {
        const short = Pseudonym.make(hmac, scope, length)(value)
        expect(short).toMatch(/^[0-9A-Za-z]+$/)
        expect(short).toHaveLength(length)
        expect(Pseudonym.make(hmac, scope, 22)(value).startsWith(short)).toBe(true)
      })
    )
  })

  it("differ under another key and under another scope", () => {
    const other = keyOf(otherSecretText).hmac
    fc.assert(
      fc.property(inputs, ([value, scope]) => {
        // 22 letters: by chance they agree once in 2^130.
        const pseudonym = Pseudonym.make(hmac, scope, 22)(value)
        expect(Pseudonym.make(other, scope, 22)(value)).not.toBe(pseudonym)
        expect(Pseudonym.make(hmac, `${scope}x`, 22)(value)).not.toBe(pseudonym)
      })
    )
  })

  it("do not take the end of a scope for the beginning of a value", () => {
    const [one, two] = [Pseudonym.make(hmac, "ab", 22)("c"), Pseudonym.make(hmac, "a", 22)("bc")]
    expect(one).not.toBe(two)
  })

  it("are the same for composed and decomposed text", () => {
    const pseudonym = Pseudonym.make(hmac, "name", 8)
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (value) => {
        expect(pseudonym(value.normalize("NFD"))).toBe(pseudonym(value.normalize("NFC")))
      })
    )
    expect(pseudonym("Zoe\u0308")).toBe(pseudonym("Zo\u00eb"))
  })

  it("have no letter that is likelier than another, at any position", () => {
    // Pearson's chi-squared over 62 letters, 2000 expected of each: 61 degrees of freedom, whose 0.9999 quantile is
    // 110.8. Taking bytes modulo 62 without rejection gives some 800. Inputs are fixed, so the result is too.
    const perLetter = 2000
    const pseudonym = Pseudonym.make(hmac, "bias", 8)
    const counts = Array.from({ length: 8 }, () => new Map<string, number>())
    for (let index = 0; index < 62 * perLetter; index++) {
      const letters = pseudonym(`value ${index}`)
      counts.forEach((count, position) => {
        const letter = letters.charAt(position)
        count.set(letter, (count.get(letter) ?? 0) + 1)
      })
    }
    const statistic = (count: ReadonlyMap<string, number>): number =>
      [...Base62.alphabet].reduce(
        (sum, letter) => sum + ((count.get(letter) ?? 0) - perLetter) ** 2 / perLetter,
        0
      )
    for (const count of counts) {
      expect(count.size).toBe(62)
      expect(statistic(count)).toBeLessThan(110.8)
      // As improbable on the other side: counts more even than chance makes them (0.0001 quantile).
      expect(statistic(count)).toBeGreaterThan(28)
    }
  })

  it("of 8 letters: a million values collide as rarely as the birthday bound says", () => {
    // Expected n^2 / (2 * 62^8) = 0.0023 collisions; two or more have probability 2.6e-6.
    expect(collisions(8, 1_000_000)).toBeLessThanOrEqual(1)
  })

  it("of 4 letters: a million values collide as often as the birthday bound says, no less and no more", () => {
    const [values, pseudonyms] = [1_000_000, 62 ** 4]
    // Expected values without a pseudonym of their own, and four standard deviations (about the root of it).
    const expected = values - pseudonyms * (1 - (1 - 1 / pseudonyms) ** values)
    const found = collisions(4, values)
    expect(expected).toBeGreaterThan(33_000)
    expect(Math.abs(found - expected)).toBeLessThan(4 * Math.sqrt(expected))
  })
})
