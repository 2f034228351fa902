import { HashMap, type Logger, Option } from "effect"
import { ObjectId } from "mongodb"
import * as Correlation from "./Correlation.ts"
import * as SafeCause from "./SafeCause.ts"

type Note = string | number | boolean

/** A line of the log as it is stored. */
export interface LogLine {
  readonly _id: ObjectId
  readonly at: Date
  readonly level: string
  readonly message: string
  readonly session_id?: string
  readonly request_id?: string
  /** Other annotations. */
  readonly notes: Readonly<Record<string, Note>>
  /** The kinds of the errors that it tells of. */
  readonly errors: ReadonlyArray<string>
}

/** The annotations that are known to hold nothing personal; all others are left out. */
const harmless: ReadonlySet<string> = new Set([
  "code",
  "consumer",
  "defect",
  "message_id",
  "method",
  "ms",
  "offset",
  "outcome",
  "partition",
  "relay",
  "route",
  "sequence",
  "status",
  "topic",
  "type"
])

/** What ids of sessions and requests look like. */
export const idPattern = /^[A-Za-z0-9._:-]{1,128}$/

const maxMessage = 1_000
const maxNote = 200
const maxErrors = 10

const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu

const printable = (text: string, most: number): string => text.replaceAll(unprintable, " ").slice(0, most)

/** Only text is kept: whatever else is logged may be a document. */
const wordsOf = (message: unknown): string =>
  printable(
    [message]
      .flat()
      .filter((part) => typeof part === "string")
      .join(" "),
    maxMessage
  )

const noteOf = (value: unknown): Note | undefined => {
  if (typeof value === "string") return printable(value, maxNote)
  return typeof value === "number" || typeof value === "boolean" ? value : undefined
}

const notesOf = (annotations: HashMap.HashMap<string, unknown>): LogLine["notes"] =>
  Object.fromEntries(
    HashMap.toEntries(annotations).flatMap(([name, value]) => {
      const note = harmless.has(name) ? noteOf(value) : undefined
      return note === undefined ? [] : [[name, note]]
    })
  )

const idsOf = (annotations: HashMap.HashMap<string, unknown>): Correlation.Ids =>
  Object.fromEntries(
    [Correlation.sessionId, Correlation.requestId].flatMap((name) => {
      const id = Option.getOrUndefined(HashMap.get(annotations, name))
      return typeof id === "string" && idPattern.test(id) ? [[name, id]] : []
    })
  )

/** The line to store; none if it has neither id, since nobody could find it by one. */
export const of = ({
  annotations,
  cause,
  date,
  logLevel,
  message
}: Logger.Logger.Options<unknown>): Option.Option<LogLine> => {
  const ids = idsOf(annotations)
  if (Object.keys(ids).length === 0) return Option.none()
  return Option.some({
    _id: new ObjectId(),
    at: date,
    level: logLevel.label,
    message: wordsOf(message),
    ...ids,
    notes: notesOf(annotations),
    errors: SafeCause.kindsOf(cause).slice(0, maxErrors)
  })
}
