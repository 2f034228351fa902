import { Effect, Option, ParseResult, Schema } from "effect"
import * as Key from "./Key.ts"
import { InvalidMessage } from "./OutboxError.ts"
import * as Slot from "./Slot.ts"
import type * as Topic from "./Topic.ts"
import * as TraceContext from "./TraceContext.ts"

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
  /**
   * Not delivered before this time, in milliseconds since the epoch, by the database's clock. Only on unordered
   * topics: nothing may wait for it.
   */
  readonly availableAt?: number
}

/** A message before the transaction has given it its place: no sequence and no ordinal yet. */
export interface Draft {
  readonly id: string
  readonly topic: string
  readonly key: Key.Key
  readonly payload: string | null
  readonly headers: Headers
  readonly availableAt?: number
}

/** The last moment a JavaScript or BSON date can name, in milliseconds since the epoch. */
const latest = 8_640_000_000_000_000

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
  createdAt: Schema.Number,
  availableAt: Schema.optionalWith(Schema.Int.pipe(Schema.between(0, latest)), { exact: true })
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
  /** Not delivered before: milliseconds since the epoch. Only on unordered topics. */
  readonly availableAt?: number
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

/** What is wrong with options that no Schema covers. */
const issueOf = (topic: Topic.Any, { availableAt, key }: DraftOptions<unknown>): string | undefined => {
  if (!Key.isKey(key)) return "key: is not 'stream/id'"
  if (availableAt === undefined) return undefined
  if (topic.ordered) {
    return "availableAt: the topic is ordered, so later messages of the key would have to wait"
  }
  const isTime = Number.isSafeInteger(availableAt) && availableAt >= 0 && availableAt <= latest
  return isTime ? undefined : "availableAt: is no time in whole milliseconds since the epoch"
}

/**
 * Makes a draft. Do it before the transaction: the id is made here and stays the same however often
 * the transaction's body is tried again. Made inside a span, it carries it as `traceparent`, unless it has one.
 *
 * Fails with `InvalidMessage` when the key is malformed, the payload does not fit the topic's Schema, or
 * `availableAt` is no time or the topic is ordered.
 */
export const draft = <A, I>(
  topic: Topic.Topic<A, I, Topic.View>,
  options: DraftOptions<A>
): Effect.Effect<Draft, InvalidMessage> =>
  Effect.gen(function* () {
    const issue = issueOf(topic, options)
    if (issue !== undefined) {
      return yield* invalid(topic.name, Key.isKey(options.key) ? options.key : "(malformed)", [issue])
    }
    const payload = yield* encodePayload(topic, options)
    const { availableAt, headers } = options
    const made = fromText(topic, options.key, payload, {
      ...(headers === undefined ? {} : { headers }),
      ...(availableAt === undefined ? {} : { availableAt })
    })
    return Option.match(yield* TraceContext.current, {
      onNone: () => made,
      onSome: (traceparent) => traced(made, traceparent)
    })
  })

/** A draft with the trace it belongs to; a `traceparent` that it has already stays. */
export const traced = (draft: Draft, traceparent: string): Draft => ({
  ...draft,
  headers: TraceContext.addTo(draft.headers, traceparent)
})

/**
 * A draft whose payload is already JSON text of the topic's encoded side: for writers that made it so by
 * construction. It knows of no span: the outbox adds that of the fiber that appends it.
 */
export const fromText = (
  topic: Pick<Topic.Any, "name" | "schemaVersion">,
  key: Key.Key,
  payload: string | null,
  options: { readonly id?: string; readonly headers?: Headers; readonly availableAt?: number } = {}
): Draft => ({
  id: options.id ?? makeId(),
  topic: topic.name,
  key,
  payload,
  headers: { ...options.headers, "schema-version": String(topic.schemaVersion) },
  ...(options.availableAt === undefined ? {} : { availableAt: options.availableAt })
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
  createdAt: position.createdAt,
  ...(draft.availableAt === undefined ? {} : { availableAt: draft.availableAt })
})

/** Whether one message comes before another of the same key. */
export const isBefore = (
  one: Pick<Message, "sequence" | "ordinal">,
  other: Pick<Message, "sequence" | "ordinal">
): boolean =>
  one.sequence < other.sequence || (one.sequence === other.sequence && one.ordinal < other.ordinal)
