import type { AnonymizerError } from "@twinbox/anonymize"
import { MongoDatabase, MongoError, MongoIndexes, Transaction } from "@twinbox/mongodb"
import type { Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Effect } from "effect"
import type { PseudonymKey } from "./PseudonymKey.ts"
import type { SessionEvent, Type } from "./SessionEvent.ts"
import * as SessionTwin from "./SessionTwin.ts"

/** Names of the collections. */
export const collections = { events: "session_events", sessions: "sessions" } as const

/** An event, by session and message: the same message twice is one event. */
type EventRecord = SessionTwin.SessionTwin & {
  readonly _id: string
  /** Its place among those of its session. */
  readonly sequence: number
}

interface SessionRecord {
  readonly _id: string
  /** By the clocks of those who took its messages. */
  readonly firstSeen: Date
  readonly lastSeen: Date
  /** How many messages it has, by their type. */
  readonly counts: Readonly<Partial<Record<Type, number>>>
}

/** Finds the events of a session in their order. */
const index = { key: { session_id: 1, sequence: 1 }, name: "session_id_sequence" } as const

const ensure = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  yield* MongoIndexes.ensureCollections(Object.values(collections))
  yield* Effect.tryPromise({
    try: () => db.collection(collections.events).createIndexes([index]),
    catch: MongoError.fromDriver
  })
})

/** Keeps sessions and their events. */
export interface SessionRecords {
  /** Adds an event to its session, unless it is there already. */
  readonly add: (
    event: SessionEvent,
    sequence: number
  ) => Effect.Effect<void, MongoError.MongoError, OutboxTransaction.Transaction>
}

/** Makes collections and indexes. */
export const make: Effect.Effect<
  SessionRecords,
  AnonymizerError | MongoError.MongoError,
  MongoDatabase.MongoDatabase | PseudonymKey
> = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  yield* ensure
  const twinOf = yield* SessionTwin.make
  const events = db.collection<EventRecord>(collections.events)
  const sessions = db.collection<SessionRecord>(collections.sessions)

  const addEvent = (event: SessionEvent, sequence: number) => {
    const _id = `${event.sessionId}/${event.messageId}`
    const fields = { ...twinOf(event), sequence }
    return Transaction.use((session) =>
      events.updateOne({ _id }, { $setOnInsert: fields }, { upsert: true, session })
    )
  }

  const count = ({ receivedAt, sessionId, type }: SessionEvent) =>
    Transaction.use((session) =>
      sessions.updateOne(
        { _id: sessionId },
        {
          $min: { firstSeen: new Date(receivedAt) },
          $max: { lastSeen: new Date(receivedAt) },
          $inc: { [`counts.${type}`]: 1 }
        },
        { upsert: true, session }
      )
    )

  return {
    add: (event, sequence) =>
      Effect.flatMap(addEvent(event, sequence), ({ upsertedCount }) =>
        upsertedCount === 1 ? Effect.asVoid(count(event)) : Effect.void
      )
  }
})
