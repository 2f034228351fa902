import { Key, Message, type OutboxStore, Slot } from "@twinbox/outbox"
import { Either, ParseResult } from "effect"
import { BSON } from "mongodb"

/** A message as the collection `outbox` holds it. */
export interface OutboxRecord {
  readonly _id: string
  readonly slot: number
  readonly key: string
  readonly sequence: number
  readonly ordinal: number
  readonly topic: string
  readonly payload: string | null
  readonly headers: Readonly<Record<string, string>>
  readonly createdAt: Date
  readonly state: "ready" | "behind"
  /** Only with `state: "behind"`. */
  readonly behind?: ReadonlyArray<string>
}

/** A message given up on, as the collection `outbox_dead` holds it, with a copy of the record. */
export interface DeadRecord {
  readonly _id: string
  readonly messageId: string
  readonly slot: number
  readonly sink: string
  readonly key: string | null
  readonly topic: string | null
  readonly sequence: number | null
  readonly reason: string
  readonly error: string
  readonly attempts: number
  readonly blocks: boolean
  readonly at: Date
  readonly record: unknown
}

export const fromMessage = (message: Message.Message): OutboxRecord => ({
  _id: message.id,
  slot: message.slot,
  key: message.key,
  sequence: message.sequence,
  ordinal: message.ordinal,
  topic: message.topic,
  payload: message.payload,
  headers: message.headers,
  createdAt: new Date(message.createdAt),
  state: "ready"
})

const sentinelPrefix = "sentinel/"

/**
 * A record that never leaves: one in each slot, so that a seek which walks over deleted index entries
 * stops at the end of its slot. Its key is empty, which no message's is.
 */
export const sentinel = (slot: number): OutboxRecord => ({
  _id: `${sentinelPrefix}${slot}`,
  slot,
  key: "",
  sequence: 0,
  ordinal: 0,
  topic: "",
  payload: null,
  headers: {},
  createdAt: new Date(0),
  state: "ready"
})

export const isSentinel = (record: { readonly _id: unknown }): boolean =>
  typeof record._id === "string" && record._id.startsWith(sentinelPrefix)

/** How many records of `outbox` are sentinels. */
export const sentinelCount = Slot.count

const extendedJsonPrefix = "ejson:"

/** Foreign records can have an `_id` of any type: those that are no text are named by their extended JSON. */
const idText = (id: unknown): string =>
  typeof id === "string" ? id : extendedJsonPrefix + BSON.EJSON.stringify(id, { relaxed: false })

/** The `_id` that `idText` named. */
export const idValue = (text: string): unknown =>
  text.startsWith(extendedJsonPrefix)
    ? BSON.EJSON.parse(text.slice(extendedJsonPrefix.length), { relaxed: false })
    : text

const isInt = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const areHeaders = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null) return false
  for (const name in value) if (typeof (value as Record<string, unknown>)[name] !== "string") return false
  return true
}

/** The same check as the Schema of a message, by hand: it runs for every message that a relay reads. */
const isWellFormed = (record: Partial<OutboxRecord>): record is OutboxRecord =>
  typeof record._id === "string" &&
  record._id.length > 0 &&
  typeof record.key === "string" &&
  Key.isKey(record.key) &&
  isInt(record.slot) &&
  record.slot === Slot.ofKey(record.key) &&
  isInt(record.sequence) &&
  isInt(record.ordinal) &&
  typeof record.topic === "string" &&
  record.topic.length > 0 &&
  (record.payload === null || typeof record.payload === "string") &&
  areHeaders(record.headers) &&
  record.createdAt instanceof Date

const toMessage = (record: OutboxRecord): Message.Message => ({
  id: record._id,
  topic: record.topic,
  key: record.key,
  slot: record.slot,
  sequence: record.sequence,
  ordinal: record.ordinal,
  payload: record.payload,
  headers: record.headers,
  createdAt: record.createdAt.getTime()
})

/** Field names and what is wrong with them, never values. */
const issuesOf = (record: Record<string, unknown>): ReadonlyArray<string> => {
  const { _id, createdAt, ...rest } = record
  const decoded = Message.decodeUnknown({
    ...rest,
    id: _id,
    createdAt: createdAt instanceof Date ? createdAt.getTime() : createdAt
  })
  if (Either.isRight(decoded)) return ["the record is malformed"]
  const paths = ParseResult.ArrayFormatter.formatIssueSync(decoded.left).map((issue) => issue.path.join("."))
  return [...new Set(paths)].map((path) => (path === "" ? "slot does not fit the key" : `${path}: invalid`))
}

/** Reads a document of `outbox` as a message, or says what is wrong with it. */
export const toStored = (document: Record<string, unknown>): OutboxStore.Stored => {
  const record = document as Partial<OutboxRecord>
  if (isWellFormed(record)) return { _tag: "Message", message: toMessage(record) }
  const slot = isInt(record.slot) && record.slot < Slot.count ? record.slot : 0
  return { _tag: "Corrupt", id: idText(document["_id"]), slot, issues: issuesOf(document) }
}
