import { Effect, ParseResult, Schema } from "effect"
import * as Key from "./Key.ts"
import { InvalidMessage } from "./OutboxError.ts"
import * as Slot from "./Slot.ts"
import type * as Topic from "./Topic.ts"

/** Text headers of a message, in the clear: never put personal data here. */
export type Headers = Readonly<Record<string, string>>

/**
 * One record of the outbox.
 *
 * `payload` is the JSON text of the topic's encoded payload, or null when the record was deleted.
 * `createdAt` is the writer's clock in milliseconds since the epoch: information for people, never
 * used for order.
 */
export interface Message {
  readonly id: string
  readonly topic: string
  readonly key: Key.Key
  readonly slot: number
  readonly sequence: number
  readonly ordinal: number
  readonly payload: string | null
  readonly headers: Headers
  readonly createdAt: number
}

/** A message before the transaction has given it its place: no sequence and no ordinal yet. */
export interface Draft {
  readonly id: string
  readonly topic: string
  readonly key: Key.Key
  readonly payload: string | null
  readonly headers: Headers
}

const NonNegativeInt = Schema.Int.pipe(Schema.nonNegative())

/** Schema of a message as stores return it. */
export const MessageSchema: Schema.Schema<Message> = Schema.Struct({
  id: Schema.NonEmptyString.pipe(Schema.maxLength(128)),
  topic: Schema.NonEmptyString.pipe(Schema.maxLength(255)),
  key: Key.KeySchema,
  slot: NonNegativeInt.pipe(Schema.lessThan(Slot.count)),
  sequence: NonNegativeInt,
  ordinal: NonNegativeInt,
  payload: Schema.NullOr(Schema.String),
  headers: Schema.Record({ key: Schema.String, value: Schema.String }),
  createdAt: Schema.Number
}).pipe(Schema.filter((message) => message.slot === Slot.ofKey(message.key) || "slot does not fit the key"))

const decode = ParseResult.decodeUnknownEither(MessageSchema, { errors: "all" })

/**
 * Checks a message that comes from outside. The Left holds the values that were refused too: of it, show and
 * store the paths only.
 */
export const decodeUnknown = (input: unknown) => decode(input)

/** A new id for a message: a random UUID (RFC 9562 version 4). Ids carry no order. */
export const makeId = (): string => globalThis.crypto.randomUUID()

export interface DraftOptions<A> {
  readonly key: Key.Key
  /** Null says that the record of this key is gone. */
  readonly payload: A | null
  readonly headers?: Headers
}

const invalid = (topic: string, key: string, issues: ReadonlyArray<string>) =>
  new InvalidMessage({ topic, key, issues })

const issuePaths = (error: ParseResult.ParseError): ReadonlyArray<string> =>
  ParseResult.ArrayFormatter.formatErrorSync(error).map(
    (issue) => `${issue.path.join(".") || "payload"}: invalid`
  )

const encodePayload = <A, I>(topic: Topic.Topic<A, I, Topic.View>, options: DraftOptions<A>) =>
  options.payload === null
    ? Effect.succeed(null)
    : Schema.encode(topic.schema, { errors: "all" })(options.payload).pipe(
        Effect.map((encoded): string => JSON.stringify(encoded)),
        Effect.mapError((error) => invalid(topic.name, options.key, issuePaths(error)))
      )

/**
 * Makes a draft. Do it before the transaction: the id is made here and stays the same however often
 * the transaction's body is tried again.
 *
 * Fails with `InvalidMessage` when the key is malformed or the payload does not fit the topic's Schema.
 */
export const draft = <A, I>(
  topic: Topic.Topic<A, I, Topic.View>,
  options: DraftOptions<A>
): Effect.Effect<Draft, InvalidMessage> =>
  Effect.gen(function* () {
    if (!Key.isKey(options.key)) {
      return yield* invalid(topic.name, "(malformed)", ["key: is not 'stream/id'"])
    }
    const payload = yield* encodePayload(topic, options)
    return fromText(
      topic,
      options.key,
      payload,
      options.headers === undefined ? {} : { headers: options.headers }
    )
  })

/** A draft whose payload is already JSON text of the topic's encoded side: for writers that made it so by construction. */
export const fromText = (
  topic: Pick<Topic.Any, "name" | "schemaVersion">,
  key: Key.Key,
  payload: string | null,
  options: { readonly id?: string; readonly headers?: Headers } = {}
): Draft => ({
  id: options.id ?? makeId(),
  topic: topic.name,
  key,
  payload,
  headers: { ...options.headers, "schema-version": String(topic.schemaVersion) }
})

/** Gives a draft its place. */
export const place = (
  draft: Draft,
  position: { readonly sequence: number; readonly ordinal: number; readonly createdAt: number }
): Message => ({
  id: draft.id,
  topic: draft.topic,
  key: draft.key,
  slot: Slot.ofKey(draft.key),
  sequence: position.sequence,
  ordinal: position.ordinal,
  payload: draft.payload,
  headers: draft.headers,
  createdAt: position.createdAt
})
