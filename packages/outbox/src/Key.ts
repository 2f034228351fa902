import { Schema } from "effect"

/**
 * A key names what order is kept for: `stream/id`, for example `customer/42`.
 *
 * The stream is a lower-case name; the id is any text of 1 to 512 characters without control characters
 * and may itself contain `/`.
 */
export type Key = string

/** The longest key, in UTF-16 code units. Index entries stay small. */
export const maxLength = 600

const pattern = /^[a-z][a-z0-9_-]{0,63}\/[^\p{Cc}\p{Cs}]{1,512}$/u

/** Schema of a key. */
export const KeySchema = Schema.String.pipe(
  Schema.maxLength(maxLength),
  Schema.pattern(pattern, {
    identifier: "Key",
    message: () => "a key is 'stream/id': a lower-case stream name, a slash, and 1 to 512 characters"
  })
)

/** Whether a text is a well-formed key. */
export const isKey = (text: string): boolean => text.length <= maxLength && pattern.test(text)

/** The key of one record of a stream. */
export const make = (stream: string, id: string): Key => `${stream}/${id}`

/** The stream part of a key. */
export const streamOf = (key: Key): string => key.slice(0, key.indexOf("/"))

/** The id part of a key. */
export const idOf = (key: Key): string => key.slice(key.indexOf("/") + 1)
