import type { AnonymizerError } from "@twinbox/anonymize"
import type { MongoError } from "@twinbox/mongodb"
import { CoalescedCalls, MongoCall, MongoDatabase, MongoIndexes, Transaction } from "@twinbox/mongodb"
import type { Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Effect, Exit } from "effect"
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
  yield* MongoCall.attempt(() => db.collection(collections.events).createIndexes([index]))
})

/** Keeps sessions and their events. */
export interface SessionRecords {
  /** Adds an event to its session, unless it is there already. */
  readonly add: (
    event: SessionEvent,
    sequence: number
  ) => Effect.Effect<void, MongoError.MongoError, OutboxTransaction.Transaction>
}

interface Received {
  readonly event: SessionEvent
  readonly sequence: number
}

const idOf = ({ messageId, sessionId }: SessionEvent): string => `${sessionId}/${messageId}`

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

  /** Whether each event is new. */
  const addEvents = (received: ReadonlyArray<Received>) =>
    Effect.map(
      Transaction.use((session) =>
        events.bulkWrite(
          received.map(({ event, sequence }) => ({
            updateOne: {
              filter: { _id: idOf(event) },
              update: { $setOnInsert: { ...twinOf(event), sequence } },
              upsert: true
            }
          })),
          { session }
        )
      ),
      ({ upsertedIds }) => received.map((_, position) => position in upsertedIds)
    )

  const count = (added: ReadonlyArray<SessionEvent>) =>
    added.length === 0
      ? Effect.void
      : Transaction.use((session) =>
          sessions.bulkWrite(
            added.map(({ receivedAt, sessionId, type }) => ({
              updateOne: {
                filter: { _id: sessionId },
                update: {
                  $min: { firstSeen: new Date(receivedAt) },
                  $max: { lastSeen: new Date(receivedAt) },
                  $inc: { [`counts.${type}`]: 1 }
                },
                upsert: true
              }
            })),
            { session }
          )
        )

  const add = CoalescedCalls.make<Received, void, MongoError.MongoError>({
    idOf: ({ event }) => idOf(event),
    run: (received) =>
      Effect.gen(function* () {
        const isNew = yield* addEvents(received)
        yield* count(received.flatMap(({ event }, position) => (isNew[position] === true ? [event] : [])))
        return received.map(() => Exit.void)
      })
  })

  return { add: (event, sequence) => add({ event, sequence }) }
})
