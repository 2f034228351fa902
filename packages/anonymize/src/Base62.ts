/** The 62 characters of a pseudonym, in the order of their values 0 to 61. */
export const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// 248 = 4 * 62: bytes from here up would make the first 8 characters likelier than the rest.
const firstRejected = 248

const letterOfByte: ReadonlyArray<string> = Array.from({ length: 256 }, (_, byte) =>
  byte < firstRejected ? alphabet.charAt(byte % 62) : ""
)

// 256 blocks of 32 bytes all rejected has probability 2^-40960.
const maxBlocks = 256

/**
 * The first `length` characters drawn without bias from a stream of uniform bytes: a byte below 248 gives
 * `alphabet[byte % 62]`, others are skipped. `block(n)` gives the n-th block as text, one code unit per byte.
 */
export const draw = (length: number, block: (counter: number) => string): string => {
  let letters = ""
  for (let counter = 0; counter < maxBlocks; counter++) {
    const bytes = block(counter)
    for (let index = 0; index < bytes.length; index++) {
      letters += letterOfByte[bytes.charCodeAt(index)]
      if (letters.length === length) return letters
    }
  }
  throw new RangeError("the stream of bytes holds no letters")
}

const isLetter = (code: number): boolean =>
  (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122)

/** Whether the first `length` characters of a text are all of the alphabet. */
export const startsWithLetters = (text: string, length: number): boolean => {
  if (text.length < length) return false
  for (let index = 0; index < length; index++) if (!isLetter(text.charCodeAt(index))) return false
  return true
}
