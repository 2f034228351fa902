import { type Message, TraceContext } from "@twinbox/outbox"
import { Option } from "effect"

/*
 * A message as a CloudEvent 1.0 in Kafka's binary content mode: attributes are headers, and the value is the payload
 * alone.
 *
 * Sources: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md, and of the
 * same version extensions/sequence.md and extensions/distributed-tracing.md. The latter has the trace of the event
 * itself in the attribute `traceparent`, and so in the header `ce_traceparent`; the plain header `traceparent` is what
 * W3C Trace Context and its instrumentations read.
 */

/** Names of the headers. */
export const header = {
  specVersion: "ce_specversion",
  id: "ce_id",
  source: "ce_source",
  type: "ce_type",
  time: "ce_time",
  subject: "ce_subject",
  sequence: "ce_sequence",
  traceparent: "ce_traceparent",
  contentType: "content-type",
  schemaVersion: "schema-version"
} as const

/** Digits of the greatest safe integer. */
const sequenceDigits = 16
const ordinalDigits = 6

/**
 * Text of a message's place among those of its key, `0000000000000042.000000`: sequence and ordinal with leading zeros,
 * so that the order of such texts is the order of the messages, as the sequence extension wants it.
 */
export const sequenceText = ({ ordinal, sequence }: Pick<Message.Message, "sequence" | "ordinal">): string =>
  `${String(sequence).padStart(sequenceDigits, "0")}.${String(ordinal).padStart(ordinalDigits, "0")}`

const sequencePattern = /^(\d{1,16})\.(\d{1,10})$/

/** Reads what `sequenceText` wrote; none when it is something else. */
export const parseSequence = (
  text: string
): Option.Option<{ readonly sequence: number; readonly ordinal: number }> => {
  const [, sequence, ordinal] = sequencePattern.exec(text) ?? []
  return sequence !== undefined && ordinal !== undefined && Number.isSafeInteger(Number(sequence))
    ? Option.some({ sequence: Number(sequence), ordinal: Number(ordinal) })
    : Option.none()
}

/** Headers of CloudEvents themselves: a message cannot set them. */
export const isReserved = (name: string): boolean => {
  const lower = name.toLowerCase()
  return lower.startsWith("ce_") || lower === header.contentType
}

export interface Options {
  /** Attribute `source`: a URI reference that names where events come from. */
  readonly source: string
  /** Attribute `type`, by the name of the topic. */
  readonly typeOf: (topic: string) => string
  /** Media type of the payload. */
  readonly contentType: string
}

/** Names and values that recur are made once. Names come from people's code; a limit keeps a mistake small. */
const maxCached = 1_000

const cached = (cache: Map<string, Buffer>, text: string): Buffer => {
  const known = cache.get(text)
  if (known !== undefined) return known
  const made = Buffer.from(text)
  if (cache.size < maxCached) cache.set(text, made)
  return made
}

/** Headers of a record, in bytes. */
export type RecordHeaders = Map<Buffer, Buffer>

/** Makes the headers of a message: those of its CloudEvent, then its own. `key` is the message's key in bytes. */
export const headersWith = (options: Options) => {
  const names = new Map<string, Buffer>()
  const values = new Map<string, Buffer>()
  const name = (text: string) => cached(names, text)
  const fixed: ReadonlyArray<readonly [Buffer, Buffer]> = [
    [name(header.specVersion), Buffer.from("1.0")],
    [name(header.source), Buffer.from(options.source)],
    [name(header.contentType), Buffer.from(options.contentType)]
  ]
  const [id, type, time, subject, sequence, traceparent] = [
    name(header.id),
    name(header.type),
    name(header.time),
    name(header.subject),
    name(header.sequence),
    name(header.traceparent)
  ]
  return (message: Message.Message, key: Buffer): RecordHeaders => {
    const headers: RecordHeaders = new Map(fixed)
    headers.set(id, Buffer.from(message.id))
    headers.set(type, cached(values, options.typeOf(message.topic)))
    headers.set(time, Buffer.from(new Date(message.createdAt).toISOString()))
    headers.set(subject, key)
    headers.set(sequence, Buffer.from(sequenceText(message)))
    for (const own in message.headers) {
      if (isReserved(own)) continue
      const value = Buffer.from(message.headers[own] ?? "")
      headers.set(name(own), value)
      if (own.toLowerCase() === TraceContext.header) headers.set(traceparent, value)
    }
    return headers
  }
}
