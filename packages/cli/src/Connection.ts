import { Options } from "@effect/cli"
import type { MongoError } from "@twinbox/mongodb"
import { MongoCall, MongoDatabase, MongoIndexes, MongoOutboxAdmin, MongoOutboxStore } from "@twinbox/mongodb"
import { Outbox, type OutboxAdmin } from "@twinbox/outbox"
import { Config, Effect, Layer, Option, type Redacted } from "effect"
import { Failed, UsageError } from "./CommandError.ts"

/** How this command names itself to the server. */
export const appName = "twinbox-cli"

/** A person waits less patiently than a service, and can ask again. */
const connectWithin = "3 seconds"

/** Which outbox is meant. */
export interface Given {
  readonly uri: Option.Option<Redacted.Redacted>
  readonly database: Option.Option<string>
}

export const options = {
  uri: Options.redacted("uri").pipe(
    Options.withPseudoName("URI"),
    Options.withDescription(
      "Connection string of MongoDB. Default: MONGODB_URI from the environment or .env, which other users of the machine cannot see."
    ),
    Options.optional
  ),
  database: Options.text("database").pipe(
    Options.withPseudoName("NAME"),
    Options.withDescription("Name of the database. Default: the one in the connection string, or twinbox."),
    Options.optional
  )
}

const noUri = new UsageError({ message: "which MongoDB? set MONGODB_URI, or add --uri" })

const uriOf = (given: Given) =>
  Option.match(given.uri, {
    onSome: Effect.succeed,
    onNone: () => Effect.mapError(Config.redacted(Config.nonEmptyString("MONGODB_URI")), () => noUri)
  })

/** A name that was mistyped must not become a new, empty outbox. `what` it holds: `outbox`. */
const check = (collections: ReadonlyArray<string>, what: string) =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const found = yield* MongoCall.attempt(() =>
      db.listCollections({ name: { $in: collections } }, { nameOnly: true }).toArray()
    )
    if (found.length === 0) {
      yield* new Failed({
        message: `database '${db.databaseName}' holds no ${what}: name the one that does with --database or in the connection string`
      })
    }
  })

const database = (given: Given) =>
  Effect.map(uriOf(given), (uri) =>
    MongoDatabase.layer({
      uri,
      appName,
      connectWithin,
      ...Option.match(given.database, { onNone: () => ({}), onSome: (database) => ({ database }) })
    })
  ).pipe(Layer.unwrapEffect)

type ConnectionError = MongoDatabase.ConnectError | MongoError.MongoError | Failed | UsageError

/** The outbox that is meant. */
export const layer = (given: Given): Layer.Layer<OutboxAdmin.OutboxAdmin, ConnectionError> =>
  MongoOutboxAdmin.layer().pipe(
    Layer.provide(Layer.effectDiscard(check([MongoIndexes.collections.outbox], "outbox"))),
    Layer.provide(database(given))
  )

/** The database of a collection with twins; who comes with originals alone gets an outbox beside them. */
export const forSync = (
  given: Given,
  collection: string
): Layer.Layer<MongoDatabase.MongoDatabase | Outbox.Outbox, ConnectionError> =>
  Outbox.layer().pipe(
    Layer.provide(MongoOutboxStore.layer()),
    Layer.provide(
      Layer.effectDiscard(check([collection, MongoIndexes.collections.outbox], `collection '${collection}'`))
    ),
    Layer.provideMerge(database(given))
  )
