import { Key, type Message } from "@twinbox/outbox"
import { FastCheck } from "effect"
import * as MessageFixture from "./MessageFixture.ts"

/** Ids of every kind that a key may hold: plain, with slashes, and any other text. */
const keyId = FastCheck.oneof(
  FastCheck.nat({ max: 20 }).map(String),
  FastCheck.constantFrom("a/b", "Ærø", "東京", "😀", "a b", "0"),
  FastCheck.string({ unit: "binary", minLength: 1, maxLength: 30 })
)

/** A well-formed key. */
export const key: FastCheck.Arbitrary<Key.Key> = FastCheck.record({
  stream: FastCheck.constantFrom("customer", "session", "order-line"),
  id: keyId
})
  .map(({ id, stream }) => Key.make(stream, id))
  .filter(Key.isKey)

/** JSON text of any shape, or null. */
export const payload: FastCheck.Arbitrary<string | null> = FastCheck.oneof(
  { weight: 5, arbitrary: FastCheck.json() },
  { weight: 1, arbitrary: FastCheck.constant(null) }
)

export const headers: FastCheck.Arbitrary<Message.Headers> = FastCheck.dictionary(
  FastCheck.stringMatching(/^[a-z][a-z-]{0,15}$/),
  FastCheck.string({ unit: "grapheme", maxLength: 20 }),
  { maxKeys: 4 }
)

/** A well-formed message with any content. */
export const message: FastCheck.Arbitrary<Message.Message> = FastCheck.record({
  id: FastCheck.uuid(),
  key,
  sequence: FastCheck.integer({ min: 1, max: 1_000_000 }),
  ordinal: FastCheck.nat({ max: 3 }),
  payload,
  headers
}).map((fields) => MessageFixture.make(fields))
