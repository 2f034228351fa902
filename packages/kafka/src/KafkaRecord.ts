import { compatibilityPartitioner } from "@platformatic/kafka"
import type { Message } from "@twinbox/outbox"
import type { RecordHeaders } from "./CloudEvent.ts"

/** A message as it goes to Kafka. */
export interface KafkaRecord {
  readonly message: Message.Message
  /** Kafka's topic. */
  readonly topic: string
  readonly key: Buffer
  readonly value: Buffer | null
  readonly headers: RecordHeaders
  /** Of the key: picks the partition. */
  readonly hash: number
  /** No less than what it takes up in a request. */
  readonly bytes: number
}

/** Lengths are numbers of 1 to 5 bytes: https://kafka.apache.org/documentation/#recordbatch and #record. */
const lengthBytes = 5

/** Length, attributes, two differences to the batch, and the number of headers. */
const recordOverheadBytes = lengthBytes + 1 + 10 + lengthBytes + lengthBytes

const sizeOf = (key: Buffer, value: Buffer | null, headers: RecordHeaders): number => {
  let bytes = recordOverheadBytes + 2 * lengthBytes + key.length + (value?.length ?? 0)
  for (const [name, text] of headers) bytes += 2 * lengthBytes + name.length + text.length
  return bytes
}

/** What Java's clients do: murmur2 of the key's bytes without the sign. So all of them agree on the partition. */
const hashOf = (key: Buffer): number => compatibilityPartitioner({ topic: "", value: key }, key)

export const make = (
  message: Message.Message,
  topic: string,
  key: Buffer,
  value: Buffer | null,
  headers: RecordHeaders
): KafkaRecord => ({
  message,
  topic,
  key,
  value,
  headers,
  hash: hashOf(key),
  bytes: sizeOf(key, value, headers)
})
