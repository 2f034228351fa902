import { type Inbox, Key, type Message, type Topic } from "@twinbox/outbox"
import { Effect, Option, ParseResult, Schema } from "effect"
import * as CloudEvent from "./CloudEvent.ts"
import { UnreadableRecord, type UnreadableReason } from "./UnreadableRecord.ts"

/** A record as the broker gave it. */
export interface RawRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** Milliseconds since the epoch, by the producer's or the broker's clock. */
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** A name can occur several times. */
  readonly headers: ReadonlyArray<readonly [name: string, value: Buffer | null]>
}

/** What a handler gets. */
export interface Received<A> extends Inbox.Identified {
  /** Name of the Twinbox topic. */
  readonly topic: string
  /** Null: the record of this key was deleted. */
  readonly payload: A | null
  /** The message's own headers, without those that the transport adds. */
  readonly headers: Message.Headers
  /** Milliseconds since the epoch, by the writer's clock: information, never an order. */
  readonly time: number
  /** Where it stood. */
  readonly source: Pick<RawRecord, "topic" | "partition" | "offset">
}

/** Raises a payload by one version of its Schema. Pure; works on encoded payloads. */
export type Upcast = (payload: unknown) => unknown

/** By the version that they start from: `{ 1: toVersion2, 2: toVersion3 }`. */
export type Upcasts = Readonly<Record<number, Upcast>>

/** Reads the bytes of a payload as the encoded side of the topic's Schema. What it throws stays unseen. */
export type Deserializer = (bytes: Buffer, headers: Message.Headers) => unknown

const fromUtf8 = new TextDecoder("utf-8", { fatal: true })

/** The default: JSON in UTF-8. */
export const json: Deserializer = (bytes) => JSON.parse(fromUtf8.decode(bytes))

export interface Format<A, I> {
  readonly topic: Topic.Topic<A, I, Topic.View>
  readonly upcasts: Upcasts
  readonly deserialize: Deserializer
}

const unreadable = (reason: UnreadableReason, ...issues: ReadonlyArray<string>) =>
  new UnreadableRecord({ reason, issues })

const { header } = CloudEvent

const badHeader = (name: string) => unreadable("BadHeader", `${name}: missing or malformed`)

/** Of what is told about a payload. */
const maxIssues = 10
const maxDepth = 10

/** As long as a message's id can be. */
const maxIdLength = 128

const textsOf = ({ headers }: RawRecord): ReadonlyMap<string, string> =>
  new Map(headers.flatMap(([name, value]) => (value === null ? [] : [[name, value.toString("utf8")]])))

/** Without those that the transport adds. */
const ownHeaders = (texts: ReadonlyMap<string, string>): Message.Headers =>
  Object.fromEntries([...texts].filter(([name]) => !CloudEvent.isReserved(name)))

const versionFrom = (text: string | undefined, current: number): number =>
  text === undefined ? current : /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN

/** Raises a payload, version by version. */
const raise = (
  payload: unknown,
  from: number,
  to: number,
  upcasts: Upcasts
): Effect.Effect<unknown, UnreadableRecord> => {
  if (from === to) return Effect.succeed(payload)
  const upcast = upcasts[from]
  if (upcast === undefined || from > to) {
    return unreadable("UnknownVersion", `schema-version: no way from ${from} to ${to}`)
  }
  return Effect.flatMap(
    Effect.try({
      try: () => upcast(payload),
      catch: () => unreadable("BadPayload", `payload: the upcast from version ${from} failed`)
    }),
    (raised) => raise(raised, from + 1, to, upcasts)
  )
}

/** A key of a record with free keys could be anything; what looks like the name of a field is told. */
const segmentText = (segment: PropertyKey): string =>
  /^[A-Za-z_]\w{0,63}$|^\d{1,9}$/.test(String(segment)) ? String(segment) : "*"

/** Paths of fields. Values are not told, nor messages of a Schema, which can quote them. */
const issuesOf = (error: ParseResult.ParseError): ReadonlyArray<string> =>
  ParseResult.ArrayFormatter.formatErrorSync(error)
    .slice(0, maxIssues)
    .map(({ path }) => `${["payload", ...path.slice(0, maxDepth)].map(segmentText).join(".")}: invalid`)

const decode = <A, I>(
  payload: unknown,
  version: number,
  { topic, upcasts }: Format<A, I>
): Effect.Effect<A, UnreadableRecord> =>
  Effect.flatMap(raise(payload, version, topic.schemaVersion, upcasts), (raised) =>
    Effect.mapError(Schema.decodeUnknown(topic.schema)(raised), (error) =>
      unreadable("BadPayload", ...issuesOf(error))
    )
  )

/** A delete has no value, or the value null where a topic has no tombstones. */
const readPayload = <A, I>(
  bytes: Buffer,
  version: number,
  headers: Message.Headers,
  format: Format<A, I>
): Effect.Effect<A | null, UnreadableRecord> =>
  Effect.try({
    try: () => format.deserialize(bytes, headers),
    catch: () => unreadable("BadPayload", "payload: cannot be deserialized")
  }).pipe(
    Effect.flatMap((payload) => (payload === null ? Effect.succeed(null) : decode(payload, version, format)))
  )

/** Reads a record by its topic's Schema. Fails with what is wrong with it, which no trying again mends. */
export const read = <A, I>(
  record: RawRecord,
  format: Format<A, I>
): Effect.Effect<Received<A>, UnreadableRecord> =>
  Effect.gen(function* () {
    const texts = textsOf(record)
    const key = record.key?.toString("utf8") ?? ""
    if (!Key.isKey(key)) return yield* unreadable("BadKey", "key: is not 'stream/id'")
    const id = texts.get(header.id) ?? ""
    if (id.length === 0 || id.length > maxIdLength) return yield* badHeader(header.id)
    const place = CloudEvent.parseSequence(texts.get(header.sequence) ?? "")
    if (Option.isNone(place)) return yield* badHeader(header.sequence)
    const version = versionFrom(texts.get(header.schemaVersion), format.topic.schemaVersion)
    if (Number.isNaN(version)) return yield* badHeader(header.schemaVersion)
    const headers = ownHeaders(texts)
    const time = Date.parse(texts.get(header.time) ?? "")
    const payload = record.value === null ? null : yield* readPayload(record.value, version, headers, format)
    const { offset, partition, topic } = record
    return {
      id,
      topic: format.topic.name,
      key,
      ...place.value,
      payload,
      headers,
      time: Number.isNaN(time) ? record.timestamp : time,
      source: { topic, partition, offset }
    }
  })
