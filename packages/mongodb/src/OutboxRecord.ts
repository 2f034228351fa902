import { Key, Message, type OutboxStore, Slot } from "@twinbox/outbox"
import { Either, ParseResult } from "effect"
import { BSON } from "mongodb"

/** An attempt that failed, as collections hold it. */
export interface HistoryRecord {
  readonly at: Date
  readonly reason: string
  readonly error: string
}

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
  /** The message is not delivered before. */
  readonly availableAt?: Date
  readonly state: "ready" | "behind" | "scheduled"
  /** Only with `state: "behind"`. */
  readonly behind?: ReadonlyArray<string>
  /** By sink: how often the owner of a suspect slot was about to send it. */
  readonly marks?: Readonly<Record<string, number>>
  /** Only of a dead letter that somebody requeued. */
  readonly history?: ReadonlyArray<HistoryRecord>
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
  ...(message.availableAt === undefined
    ? { state: "ready" }
    : { state: "scheduled", availableAt: new Date(message.availableAt) })
})

export const fromHistory = (
  history: ReadonlyArray<OutboxStore.FailedAttempt>
): ReadonlyArray<HistoryRecord> =>
  history.map(({ at, error, reason }) => ({ at: new Date(at), reason, error }))

export const toHistory = (history: ReadonlyArray<HistoryRecord>): ReadonlyArray<OutboxStore.FailedAttempt> =>
  history.map(({ at, error, reason }) => ({ at: at.getTime(), reason, error }))

const sentinelId = /^[0-9a-f]{2}\/sentinel$/

/**
 * A record that never leaves, so that whoever walks over deleted index entries stops soon: in the index of places one
 * in each slot, in that of ids one in each 256th of them, which are UUIDs. Its key is empty, which no message's is.
 */
export const sentinel = (slot: number): OutboxRecord => ({
  _id: `${slot.toString(16).padStart(2, "0")}/sentinel`,
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
  typeof record._id === "string" && sentinelId.test(record._id)

/** How many records of `outbox` are sentinels. */
export const sentinelCount = Slot.count

const extendedJsonPrefix = "ejson:"

/** Foreign records can have an `_id` of any type: those that are no text are named by their extended JSON. */
const idText = (id: unknown): string =>
  typeof id === "string" ? id : extendedJsonPrefix + BSON.EJSON.stringify(id, { relaxed: false })

/** The `_id` that `idText` named. Its type is that of all but foreign records. */
export const idValue = (text: string): string =>
  text.startsWith(extendedJsonPrefix)
    ? (BSON.EJSON.parse(text.slice(extendedJsonPrefix.length), { relaxed: false }) as string)
    : text

const isInt = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const areHeaders = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null) return false
  for (const name in value) if (typeof (value as Record<string, unknown>)[name] !== "string") return false
  return true
}

const areMarks = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null) return false
  for (const sink in value) if (typeof (value as Record<string, unknown>)[sink] !== "number") return false
  return true
}

const areSinks = (value: unknown): boolean =>
  Array.isArray(value) && value.every((name) => typeof name === "string")

const isHistory = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.every(
    (attempt: Partial<HistoryRecord> | null) =>
      attempt?.at instanceof Date && typeof attempt.reason === "string" && typeof attempt.error === "string"
  )

/** What relays write beside the message. */
const bookkeeping = { behind: areSinks, marks: areMarks, history: isHistory } as const

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
  record.createdAt instanceof Date &&
  (record.availableAt === undefined || record.availableAt instanceof Date) &&
  (record.behind === undefined || bookkeeping.behind(record.behind)) &&
  (record.marks === undefined || bookkeeping.marks(record.marks)) &&
  (record.history === undefined || bookkeeping.history(record.history))

const toMessage = (record: OutboxRecord): Message.Message => ({
  id: record._id,
  topic: record.topic,
  key: record.key,
  slot: record.slot,
  sequence: record.sequence,
  ordinal: record.ordinal,
  payload: record.payload,
  headers: record.headers,
  createdAt: record.createdAt.getTime(),
  ...(record.availableAt === undefined ? {} : { availableAt: record.availableAt.getTime() })
})

const toMillis = (value: unknown): unknown => (value instanceof Date ? value.getTime() : value)

/** Fields of the message that its Schema refuses. */
const messageIssues = (record: Record<string, unknown>): ReadonlyArray<string> => {
  const { _id, availableAt, createdAt, ...rest } = record
  const decoded = Message.decodeUnknown({
    ...rest,
    id: _id,
    createdAt: toMillis(createdAt),
    ...(availableAt === undefined ? {} : { availableAt: toMillis(availableAt) })
  })
  if (Either.isRight(decoded)) return []
  const paths = ParseResult.ArrayFormatter.formatIssueSync(decoded.left).map((issue) => issue.path.join("."))
  return paths.map((path) => (path === "" ? "slot does not fit the key" : `${path}: invalid`))
}

/** What a record has to have in each state. */
const neededIn: Readonly<Record<string, string | undefined>> = {
  ready: undefined,
  behind: "behind",
  scheduled: "availableAt"
}

const bookkeepingIssues = (record: Record<string, unknown>): ReadonlyArray<string> => {
  const state = String(record["state"])
  const needed = neededIn[state]
  return [
    ...(Object.hasOwn(neededIn, state) ? [] : ["state: invalid"]),
    ...(needed === undefined || record[needed] !== undefined ? [] : [`${needed}: missing`]),
    ...Object.entries(bookkeeping).flatMap(([field, isValid]) =>
      record[field] === undefined || isValid(record[field]) ? [] : [`${field}: invalid`]
    )
  ]
}

/** Names a document of `outbox` that no sink can have: field names and what is wrong with them, never values. */
export const toCorrupt = (document: Record<string, unknown>): OutboxStore.Stored => {
  const { slot } = document
  const issues = new Set([...messageIssues(document), ...bookkeepingIssues(document)])
  return {
    _tag: "Corrupt",
    id: idText(document["_id"]),
    slot: isInt(slot) && slot < Slot.count ? slot : 0,
    issues: issues.size === 0 ? ["the record is malformed"] : [...issues]
  }
}

/** Reads a document of `outbox` as a message, or says what is wrong with it. */
export const toStored = (document: Record<string, unknown>): OutboxStore.Stored => {
  const record = document as Partial<OutboxRecord>
  if (!isWellFormed(record)) return toCorrupt(document)
  const { history, marks } = record
  return {
    _tag: "Message",
    message: toMessage(record),
    ...(marks === undefined || Object.keys(marks).length === 0 ? {} : { marks }),
    ...(history === undefined || history.length === 0 ? {} : { history: toHistory(history) })
  }
}
