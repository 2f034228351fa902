import { Options } from "@effect/cli"
import { MongoDatabase, MongoOutbox } from "@twinbox/mongodb"
import type { OutboxAdmin } from "@twinbox/outbox"
import { Config, Effect, Layer, Option, type Redacted } from "effect"
import { UsageError } from "./CommandError.ts"

/** How this command names itself to the server. */
export const appName = "twinbox-cli"

/** A person waits less patiently than a service, and can ask again. */
const connectWithin = "5 seconds"

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
    onNone: () => Effect.mapError(Config.nonEmptyString("MONGODB_URI").pipe(Config.redacted), () => noUri)
  })

/** The outbox that is meant. */
export const layer = (given: Given): Layer.Layer<OutboxAdmin.OutboxAdmin> => Layer.die("later")
