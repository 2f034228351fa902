import { Key, type Message, RemoteWrite, type Sink } from "@twinbox/outbox"
import * as Indexes from "./Indexes.ts"
import type { MirrorKeys } from "./MirrorKeys.ts"
import * as MirrorScripts from "./MirrorScripts.ts"
import { listingValues } from "./RecordLua.ts"
import type { RedisError } from "./RedisError.ts"
import type { Command } from "./RedisLink.ts"
import * as RedisOutboxKeys from "./RedisOutboxKeys.ts"
import * as RedisScript from "./RedisScript.ts"

/**
 * Why a mirror refuses a message:
 * - `PayloadTooLarge`: its payload is over `maxPayloadBytes`;
 * - `WrongType`: its key in Redis belongs to something else;
 * - `UnreadableVersion`: what its key holds as a version is no number;
 * - `Refused`: Redis refused it for another reason. The only one that is tried again.
 */
export type RejectionReason = "PayloadTooLarge" | "WrongType" | "UnreadableVersion" | "Refused"

export interface Options {
  readonly keys: MirrorKeys
  /** How long tombstones are kept, in milliseconds; 0: for ever. */
  readonly tombstoneMillis: number
  /** The longest payload, in bytes of UTF-8. */
  readonly maxPayloadBytes: number
  /** Only of originals: they may be written in Redis, too, so the mirror heeds those writes and lists its records. */
  readonly indexes?: Indexes.Indexes
}

/** One call of a script, and the messages that it settles: only the newest of a key is sent. */
export interface Write {
  readonly dataKey: string
  readonly command: Command
  /** In order. */
  readonly messages: ReadonlyArray<Message.Message>
}

export interface Plan {
  readonly writes: ReadonlyArray<Write>
  /** Messages that are not sent at all. */
  readonly rejections: ReadonlyArray<Sink.Rejection>
}

const rejection = (
  message: Message.Message,
  reason: RejectionReason,
  error: string,
  retryable: boolean
): Sink.Rejection => ({ messageId: message.id, reason, error, retryable })

/** UTF-8 has three bytes at most for each UTF-16 code unit, so most payloads need no counting. */
const isTooLarge = (payload: string | null, maxBytes: number): boolean =>
  payload !== null && payload.length * 3 > maxBytes && Buffer.byteLength(payload) > maxBytes

/** The messages of one key in a batch. */
interface Group {
  readonly messages: Array<Message.Message>
  /** The newest that can be sent; of equal ones the first, as if each had been sent alone. */
  newest: Message.Message | undefined
  readonly tooLarge: Array<Message.Message>
}

const addTo = (group: Group, message: Message.Message, maxPayloadBytes: number): void => {
  if (isTooLarge(message.payload, maxPayloadBytes)) group.tooLarge.push(message)
  else {
    group.messages.push(message)
    if (group.newest === undefined || message.sequence > group.newest.sequence) group.newest = message
  }
}

const groupByKey = (batch: ReadonlyArray<Message.Message>, maxPayloadBytes: number) => {
  const groups = new Map<string, Group>()
  for (const message of batch) {
    let group = groups.get(message.key)
    if (group === undefined)
      groups.set(message.key, (group = { messages: [], newest: undefined, tooLarge: [] }))
    addTo(group, message, maxPayloadBytes)
  }
  return groups.values()
}

/** Positions of the remote writes that a newest message and those before it come of. */
const positionsOf = (group: Group, newest: Message.Message): ReadonlyArray<string> =>
  [...group.messages, ...group.tooLarge].flatMap(({ headers, sequence }) => {
    const position = headers[RemoteWrite.header]
    return position === undefined || sequence > newest.sequence ? [] : [position]
  })

/** Keys and values by which a script heeds the writes made in Redis, and lists the record. */
const originalParts = (group: Group, newest: Message.Message, keys: MirrorKeys, indexes: Indexes.Indexes) => {
  const { key, payload } = newest
  const prefix = keys.prefix(key)
  const positions = positionsOf(group, newest)
  const pairs = payload === null ? [] : Indexes.pairs(indexes, JSON.parse(payload))
  return {
    keys: [RedisOutboxKeys.ids(prefix)],
    values: [String(positions.length), ...positions, ...listingValues(prefix, Key.idOf(key), pairs)]
  }
}

const none = { keys: [], values: [] }

const commandOf = (group: Group, newest: Message.Message, options: Options): Command => {
  const { indexes, keys, tombstoneMillis } = options
  const dataKey = keys.data(newest.key)
  const more = indexes === undefined ? none : originalParts(group, newest, keys, indexes)
  const names = [dataKey, keys.tombstone(dataKey), ...more.keys]
  const version = String(newest.sequence)
  return newest.payload === null
    ? RedisScript.call(MirrorScripts.bury, names, [version, String(tombstoneMillis), ...more.values])
    : RedisScript.call(MirrorScripts.upsert, names, [version, newest.payload, ...more.values])
}

/** What to send for a batch. A payload that is too large does no harm when a newer message of its key follows. */
export const plan = (batch: ReadonlyArray<Message.Message>, options: Options): Plan => {
  const writes: Array<Write> = []
  const rejections: Array<Sink.Rejection> = []
  const error = `the payload is over ${options.maxPayloadBytes} bytes`
  for (const group of groupByKey(batch, options.maxPayloadBytes)) {
    const { messages, newest, tooLarge } = group
    for (const message of tooLarge) {
      if (newest !== undefined && message.sequence <= newest.sequence) continue
      rejections.push(rejection(message, "PayloadTooLarge", error, false))
    }
    if (newest === undefined) continue
    writes.push({
      dataKey: options.keys.data(newest.key),
      messages,
      command: commandOf(group, newest, options)
    })
  }
  return { writes, rejections }
}

/** Whether an error is about one key, and not about the whole of Redis. */
export const isOfOneKey = (error: RedisError): boolean =>
  error.reason === "WrongType" || error.reason === "Refused"

/** The refusals that follow from an error of one key. */
export const refused = (write: Write, error: RedisError): ReadonlyArray<Sink.Rejection> => {
  const [reason, text]: [RejectionReason, string] =
    error.reason === "WrongType"
      ? ["WrongType", `the Redis key '${write.dataKey}' or its tombstone holds another type of value`]
      : error.detail === "VERSION"
        ? ["UnreadableVersion", `what the Redis key '${write.dataKey}' holds as a version is no number`]
        : ["Refused", `Redis refused the write of '${write.dataKey}': ${error.detail ?? "ERR"}`]
  return write.messages.map((message) => rejection(message, reason, text, reason === "Refused"))
}
