import { createHash } from "node:crypto"
import { MongoDatabase, type MongoError, MongoInbox, Transaction } from "@twinbox/mongodb"
import {
  Inbox,
  type InboxError,
  Message,
  Outbox,
  type OutboxError,
  type Transaction as OutboxTransaction
} from "@twinbox/outbox"
import type { ReadError, WriteError } from "@twinbox/repository"
import { Clock, Context, Effect, Layer, Option } from "effect"
import { complete } from "./CustomerBody.ts"
import * as Correlation from "./Correlation.ts"
import { Customers } from "./Customers.ts"
import { toCustomer } from "./MongoCustomers.ts"
import { keyOf, type SessionEvent, sessionEventTopic } from "./SessionEvent.ts"
import type { Identify, SessionMessage } from "./SessionMessage.ts"

/** Who sent a message, and under which id it is taken. */
export interface Origin {
  readonly sessionId: string
  readonly requestId: string
}

export type SaveError =
  | WriteError
  | ReadError
  | MongoError.MongoError
  | InboxError.InboxError
  | OutboxError.OutboxError
  | OutboxError.InvalidMessage

/** Saves messages of sessions. */
export class SessionWrites extends Context.Tag("@twinbox/reference-app/SessionWrites")<
  SessionWrites,
  {
    /**
     * Saves a message in one transaction: the event in the outbox, and for `identify` the customer with its twin. A
     * message that was saved before under the same id changes nothing, and is `Duplicate`.
     */
    readonly save: (
      message: SessionMessage,
      origin: Origin
    ) => Effect.Effect<"Saved" | "Duplicate", SaveError>
  }
>() {}

/** Stays the same: under another name, messages sent again would be saved again. */
const consumer: Inbox.Consumer = { name: "ingest", guard: "none" }

/** A digest, since ids of the inbox are no longer than those of messages. */
const noteOf = (sessionId: string, messageId: string): Inbox.Identified => ({
  id: createHash("sha256").update(`${sessionId}/${messageId}`).digest("hex"),
  key: keyOf(sessionId),
  sequence: 0,
  ordinal: 0
})

const given = <K extends string, A>(name: K, value: A | undefined): { readonly [_ in K]?: A } =>
  (value === undefined ? {} : { [name]: value }) as { readonly [_ in K]?: A }

const detailsOf = (message: SessionMessage) => {
  switch (message.type) {
    case "identify":
      return {}
    case "track":
      return { event: message.event, ...given("properties", message.properties) }
    case "page":
      return {
        ...given("name", message.name),
        ...given("category", message.category),
        ...given("properties", message.properties)
      }
  }
}

const eventOf = (message: SessionMessage, origin: Origin, receivedAt: string): SessionEvent => ({
  messageId: message.messageId,
  ...origin,
  type: message.type,
  ...detailsOf(message),
  ...given("userId", message.userId),
  ...given("anonymousId", message.anonymousId),
  timestamp: message.timestamp,
  receivedAt
})

const make = Effect.gen(function* () {
  const customers = yield* Customers
  const database = yield* MongoDatabase.MongoDatabase
  const inbox: Context.Tag.Service<Inbox.Inbox> = yield* Inbox.Inbox
  const outbox: Context.Tag.Service<Outbox.Outbox> = yield* Outbox.Outbox

  /** Makes the customer or replaces all its fields, but for a `createdAt` that nobody gives. */
  const saveCustomer = ({ traits, userId }: Identify, receivedAt: string) =>
    Effect.gen(function* () {
      const known = yield* customers.get(userId)
      const createdAt = Option.match(known, {
        onNone: () => receivedAt,
        onSome: (customer) => ("name" in customer ? receivedAt : customer.createdAt.toISOString())
      })
      const fields = toCustomer(complete(traits, createdAt))
      return yield* Option.isNone(known)
        ? customers.create({ ...fields, _id: userId })
        : customers.replace(userId, fields)
    })

  const write = (
    message: SessionMessage,
    draft: Message.Draft,
    receivedAt: string
  ): Effect.Effect<void, SaveError, OutboxTransaction.Transaction> =>
    Effect.asVoid(
      Effect.zipRight(
        message.type === "identify" ? saveCustomer(message, receivedAt) : Effect.void,
        outbox.append(draft)
      )
    )

  return SessionWrites.of({
    save: (message, origin) =>
      Effect.gen(function* () {
        const receivedAt = new Date(yield* Clock.currentTimeMillis).toISOString()
        const payload = eventOf(message, origin, receivedAt)
        const draft = yield* Message.draft(sessionEventTopic, { key: keyOf(origin.sessionId), payload })
        const once = inbox.once(
          consumer,
          noteOf(origin.sessionId, message.messageId),
          write(message, draft, receivedAt)
        )
        const { _tag } = yield* Transaction.runIn(database, once)
        return _tag === "Applied" ? "Saved" : "Duplicate"
      }).pipe(
        Correlation.within({
          [Correlation.sessionId]: origin.sessionId,
          [Correlation.requestId]: origin.requestId
        })
      )
  })
})

export const layer: Layer.Layer<
  SessionWrites,
  MongoError.MongoError,
  Customers | MongoDatabase.MongoDatabase | Outbox.Outbox
> = Layer.provide(Layer.effect(SessionWrites, make), MongoInbox.layer())
