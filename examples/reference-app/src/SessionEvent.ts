import { Key, Topic } from "@twinbox/outbox"
import { Schema } from "effect"
import { rule } from "./FieldProblem.ts"
import { isDeeperThan } from "./RequestBody.ts"

/*
 * What happened in a session, by the words of https://segment.com/docs/connections/spec/
 */

/** What ids of sessions and of their messages are made of: nothing that a log, a key or a URL could not hold. */
const Token = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9._:-]{1,128}$/, rule("must have 1 to 128 of A-Z a-z 0-9 . _ : -"))
)

export const SessionId = Token
export const MessageId = Token

/** Properties of one message, at most, and objects and lists inside one another. */
const maxProperties = 64
const maxNameLength = 64
const maxDepth = 8

const isName = (name: string): boolean =>
  name.length > 0 && name.length <= maxNameLength && name !== "__proto__"

const isProperties = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  Object.keys(value).length <= maxProperties &&
  Object.keys(value).every(isName) &&
  !isDeeperThan(value, maxDepth)

/** Free-form, within bounds. */
export const Properties = Schema.declare(
  isProperties,
  rule(
    `must be an object of ${maxProperties} properties at most, names of 1 to ${maxNameLength} characters, ${maxDepth} levels deep`
  )
)
export type Properties = typeof Properties.Type

export const Type = Schema.Literal("identify", "track", "page")
export type Type = typeof Type.Type

const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })

/** A message of a session, as it is published. The traits of `identify` are published as a customer. */
export const SessionEvent = Schema.Struct({
  messageId: MessageId,
  sessionId: SessionId,
  /** Of the request by which it was taken; log lines and headers have the same. */
  requestId: Schema.String,
  type: Type,
  /** Of `track`: what was done. */
  event: optional(Schema.String),
  /** Of `page`: which one. */
  name: optional(Schema.String),
  category: optional(Schema.String),
  properties: optional(Properties),
  userId: optional(Schema.String),
  anonymousId: optional(Schema.String),
  /** When it happened, by the client's clock, in ISO 8601; information, never an order. */
  timestamp: Schema.String,
  /** When it was taken, by the server's clock, in ISO 8601. */
  receivedAt: Schema.String
})
export type SessionEvent = typeof SessionEvent.Type

/** Sessions are original: whoever consumes them gets what people have typed. */
export const sessionEventTopic = Topic.original("session-events", SessionEvent)

/** All messages of a session are in one order. */
export const keyOf = (sessionId: string): Key.Key => Key.make("session", sessionId)
