import { hash } from "node:crypto"

/** SHA-256 works on blocks of this many bytes; HMAC pads its key to one of them. */
const blockBytes = 64
const digestBytes = 32

/** Room for text behind a prefix before a message gets a buffer of its own, in bytes. */
const textBytes = 512

const padded = (block: Uint8Array, mask: number, extra: number): Buffer => {
  const pad = Buffer.alloc(blockBytes + extra)
  for (let index = 0; index < blockBytes; index++) pad[index] = (block[index] ?? 0) ^ mask
  return pad
}

/** Text in Unicode's composed form (NFC). Below U+0300 there is nothing to compose, which is quick to see. */
const composed = (text: string): string => {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) >= 0x300) return text.normalize("NFC")
  }
  return text
}

/** Writes ASCII text and tells whether it was ASCII; a call into native code would cost more than the loop. */
const writeAscii = (target: Buffer, offset: number, text: string): boolean => {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code > 0x7f) return false
    target[offset + index] = code
  }
  return true
}

/** The digest of a text under one prefix; the counter stands before the prefix, as one byte. */
export type PrefixedDigest = (counter: number, text: string) => string

/**
 * HMAC-SHA-256 (RFC 2104, FIPS 198-1) over `node:crypto`'s one-shot hash: for messages of a few bytes half the
 * cost of `createHmac`, which makes two objects per call. Digests are 32 code units, one per byte.
 *
 * The padded key stays in private fields: printing or serialising an instance shows nothing.
 */
export class HmacSha256 {
  readonly #inner: Buffer
  readonly #outer: Buffer

  /** @param key the secret bytes; more than 64 are hashed first, as the standard says. */
  constructor(key: Uint8Array) {
    const block = key.length > blockBytes ? hash("sha256", key, "buffer") : key
    this.#inner = padded(block, 0x36, 0)
    this.#outer = padded(block, 0x5c, digestBytes)
  }

  /** HMAC of a whole message. */
  digest(message: Uint8Array): string {
    return this.#finish(Buffer.concat([this.#inner, message]))
  }

  /**
   * A function for messages that share a prefix: `counter byte || prefix || UTF-8 of NFC(text)`.
   * A surrogate without its partner becomes U+FFFD, as UTF-8 has no bytes for it.
   */
  prefixed(prefix: Uint8Array): PrefixedDigest {
    const start = blockBytes + 1 + prefix.length
    const head = Buffer.concat([this.#inner, Buffer.of(0), prefix])
    const room = Buffer.concat([head, Buffer.alloc(textBytes)])
    const long = (counter: number, text: string): string => {
      const message = Buffer.concat([head, Buffer.from(text, "utf8")])
      message[blockBytes] = counter
      return this.#finish(message)
    }
    return (counter, text) => {
      if (text.length <= textBytes && writeAscii(room, start, text)) {
        room[blockBytes] = counter
        return this.#finish(room.subarray(0, start + text.length))
      }
      const normal = composed(text)
      // A UTF-16 code unit takes at most three bytes of UTF-8.
      if (normal.length * 3 > textBytes) return long(counter, normal)
      room[blockBytes] = counter
      return this.#finish(room.subarray(0, start + room.write(normal, start, "utf8")))
    }
  }

  #finish(innerMessage: Uint8Array): string {
    const inner = hash("sha256", innerMessage, "binary")
    for (let index = 0; index < digestBytes; index++) {
      this.#outer[blockBytes + index] = inner.charCodeAt(index)
    }
    return hash("sha256", this.#outer, "binary")
  }
}
