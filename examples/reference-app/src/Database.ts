import { Path } from "@effect/platform/Path"
import { type MongoDatabase, type MongoError, MongoOutbox } from "@twinbox/mongodb"
import { MongoServer, type ServiceError } from "@twinbox/services"
import { type ConfigError, Effect, Layer, Redacted } from "effect"
import { Settings } from "./Settings.ts"

/**
 * MongoDB keeps the locks of a transaction whose client was killed until this age, 60 by default. An app that
 * is started again at once would wait so long for some customers.
 */
const serverArguments = ["--setParameter", "transactionLifetimeLimitSeconds=10"]

/** Where a MongoDB that is started here keeps its data. */
export const folder = Effect.gen(function* () {
  const { dataFolder } = yield* Settings
  return (yield* Path).join(dataFolder, "mongodb")
})

/** The MongoDB of the environment, or one that is started here; its connection string. */
export const uri = Effect.gen(function* () {
  const config = yield* MongoServer.config({ dataFolder: yield* folder, arguments: serverArguments })
  const server = yield* MongoServer.start(config)
  return Redacted.make(server.uri)
})

/** The outbox in that MongoDB. */
export const layer: Layer.Layer<
  MongoOutbox.Services,
  ServiceError | MongoDatabase.ConnectError | MongoError.MongoError | ConfigError.ConfigError,
  Settings | Path
> = Layer.unwrapScoped(Effect.map(uri, (uri) => MongoOutbox.layer({ uri, appName: "reference-app" })))
