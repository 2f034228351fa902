import { randomUUID } from "node:crypto"
import { layer } from "@effect/vitest"
import { MongoDatabase, MongoOutbox } from "@twinbox/mongodb"
import type { Message } from "@twinbox/outbox"
import { TwinRepository } from "@twinbox/repository"
import { Effect, Layer, Logger, LogLevel, Redacted } from "effect"
import { inject } from "vitest"
import { testMongo } from "../../../test/setup/testServers.ts"
import { Customer, keyOf, topic } from "./testCustomer.ts"

export * from "./testCustomer.ts"

/** An id that no other test uses, so that tests can share a database. */
export const newId = () => `id-${randomUUID()}`

/** What another process on the same database has: connection, outbox and all. */
export const anotherProcess = Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
  Layer.build(
    Layer.orDie(
      MongoOutbox.layer({
        uri: Redacted.make(inject("mongoUri")),
        database: db.databaseName,
        appName: "other"
      })
    )
  )
)

const freshDatabase = Layer.unwrapScoped(
  Effect.map(testMongo, ({ database, uri }) =>
    MongoOutbox.layer({ uri: Redacted.make(uri), database, appName: database })
  )
).pipe(Layer.orDie, Layer.provide(Logger.minimumLogLevel(LogLevel.Warning)))

/** Tests that share one fresh database with an outbox, on the real clock. */
export const suite = layer(freshDatabase, { excludeTestServices: true })

type Settings = Partial<Omit<TwinRepository.Options<typeof Customer>, "schema">>

export const makeCustomers = (settings: Settings = {}) =>
  Effect.flatMap(keyOf(1), (key) =>
    TwinRepository.make({ schema: Customer, collection: "customers", topic, key, ...settings })
  )

export type Customers = Effect.Effect.Success<ReturnType<typeof makeCustomers>>

export interface Stored {
  readonly _id: string
  readonly version?: number
  readonly [field: string]: unknown
}

export const collection = (name: string) =>
  Effect.map(MongoDatabase.MongoDatabase, ({ db }) => db.collection<Stored>(name))

/** The messages of an id, in their order, with parsed payloads. */
export const messagesOf = (id: string) =>
  Effect.flatMap(collection("outbox"), (outbox) =>
    Effect.promise(async () => {
      const found = await outbox
        .find({ key: `customer/${id}` })
        .sort({ sequence: 1, ordinal: 1 })
        .toArray()
      return found.map(({ ordinal, payload, sequence, topic }) => ({
        topic,
        sequence,
        ordinal,
        payload: JSON.parse(String(payload)) as unknown
      }))
    })
  )

/** The headers of an id's messages, in their order. */
export const headersOf = (id: string) =>
  Effect.flatMap(collection("outbox"), (outbox) =>
    Effect.promise(async () => {
      const found = await outbox
        .find({ key: `customer/${id}` })
        .sort({ sequence: 1, ordinal: 1 })
        .toArray()
      return found.map(({ headers }) => headers as Message.Headers)
    })
  )

/** Everything there is about an id. */
export const stored = (id: string, originals = "customers") =>
  Effect.gen(function* () {
    const one = (name: string) =>
      Effect.flatMap(collection(name), (found) => Effect.promise(() => found.findOne({ _id: id })))
    return {
      original: yield* one(originals),
      twin: yield* one(`${originals}_anonymised`),
      tombstone: yield* one(`${originals}_tombstones`),
      messages: yield* messagesOf(id)
    }
  })

export const nothing = { original: null, twin: null, tombstone: null, messages: [] }

/** Writes an original as a program does that knows nothing of twins. */
export const writeForeign = (document: Stored, name = "customers") =>
  Effect.flatMap(collection(name), (found) =>
    Effect.promise(() => found.replaceOne({ _id: document._id }, document, { upsert: true }))
  )

/** Counts the outermost transactions that an effect runs on the test's own connection. */
export const countTransactions = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const { client } = yield* MongoDatabase.MongoDatabase
    const startSession = client.startSession
    let count = 0
    client.startSession = (options) => {
      count += 1
      return startSession.call(client, options)
    }
    const value = yield* Effect.ensuring(
      effect,
      Effect.sync(() => (client.startSession = startSession))
    )
    return { value, count }
  })
