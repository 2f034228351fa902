import { Key, Message, type OutboxStore, type Topic, Topic as Topics } from "@twinbox/outbox"
import { Schema } from "effect"

/** The payload of {@link topic}. */
export const Payload = Schema.Struct({ revision: Schema.Int, text: Schema.optional(Schema.String) })

/** An ordered topic for tests. */
export const topic: Topic.Topic<typeof Payload.Type, typeof Payload.Encoded, "anonymized"> =
  Topics.anonymized("customer-anonymised", Payload)

/** An unordered topic for tests, with the same payload. */
export const unorderedTopic: Topic.Topic<typeof Payload.Type, typeof Payload.Encoded, "anonymized"> =
  Topics.anonymized("customer-reminders", Payload, { ordered: false })

/** A sink that takes {@link topic}, as the outbox knows it. */
export const registeredSink = (name: string): OutboxStore.RegisteredSink => ({
  name,
  topics: [topic.name],
  isMirror: false
})

/** What a test wants to say about a message; everything else is filled in. */
export interface Fields {
  /** Default: a new random id. */
  readonly id?: string
  readonly topic?: string
  /** Default `customer/1`. */
  readonly key?: Key.Key
  /** Default 1. */
  readonly sequence?: number
  /** Default 0. */
  readonly ordinal?: number
  /** Default: a JSON object that holds the sequence as `revision`. */
  readonly payload?: string | null
  readonly headers?: Message.Headers
  /** Default: 1 January 2026. */
  readonly createdAt?: number
  /** Default: at once. */
  readonly availableAt?: number
}

const firstOfJanuary2026 = 1_767_225_600_000

/** A well-formed message. */
export const make = (fields: Fields = {}): Message.Message => {
  const sequence = fields.sequence ?? 1
  return Message.place(
    {
      id: fields.id ?? Message.makeId(),
      topic: fields.topic ?? topic.name,
      key: fields.key ?? Key.make("customer", "1"),
      payload: fields.payload === undefined ? JSON.stringify({ revision: sequence }) : fields.payload,
      headers: fields.headers ?? { "schema-version": "1" },
      ...(fields.availableAt === undefined ? {} : { availableAt: fields.availableAt })
    },
    { sequence, ordinal: fields.ordinal ?? 0, createdAt: fields.createdAt ?? firstOfJanuary2026 }
  )
}

/** Messages of one key with the sequences `first`, `first + 1`, ... */
export const ofKey = (key: Key.Key, count: number, first = 1): ReadonlyArray<Message.Message> =>
  Array.from({ length: count }, (_, at) => make({ key, sequence: first + at }))

/** The first three messages of a key. */
export const threeOf = (key: Key.Key): readonly [Message.Message, Message.Message, Message.Message] => [
  make({ key, sequence: 1 }),
  make({ key, sequence: 2 }),
  make({ key, sequence: 3 })
]
