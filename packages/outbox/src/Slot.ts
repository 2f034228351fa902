/**
 * A slot is the unit of work that one relay instance owns: the 32-bit FNV-1a hash of the key, folded to 8 bits.
 *
 * All messages of one key share a slot, so one relay sees all of them and can keep their order.
 */

/** How many slots there are. Fixed for the life of a database: messages are stored with their slot. */
export const count = 256

/** Every slot, in rising order. */
export const all: ReadonlyArray<number> = Array.from({ length: count }, (_, slot) => slot)

const encoder = new TextEncoder()
const offsetBasis = 0x811c9dc5
const prime = 0x01000193

/**
 * The slot of a key: the four bytes of the 32-bit FNV-1a hash of its UTF-8 bytes, combined by exclusive or. The last
 * byte alone would spread numbered ids unevenly; folding is what the algorithm's authors advise for small hashes.
 *
 * Source: draft-eastlake-fnv, "The FNV Non-Cryptographic Hash Algorithm". It is cheap, has no
 * dependencies, and is a dozen lines in any language that wants to write to the outbox too.
 */
export const ofKey = (key: string): number => {
  let hash = offsetBasis
  for (const byte of encoder.encode(key)) {
    hash = Math.imul(hash ^ byte, prime)
  }
  return (hash ^ (hash >>> 8) ^ (hash >>> 16) ^ (hash >>> 24)) & (count - 1)
}
