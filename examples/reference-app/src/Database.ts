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

/** The MongoDB of the environment, or one that is started here and keeps its data in the data folder. */
export const layer: Layer.Layer<
  MongoOutbox.Services,
  ServiceError | MongoDatabase.ConnectError | MongoError.MongoError | ConfigError.ConfigError,
  Settings | Path
> = Layer.unwrapScoped(
  Effect.gen(function* () {
    const { dataFolder } = yield* Settings
    const paths = yield* Path
    const config = yield* MongoServer.config({
      dataFolder: paths.join(dataFolder, "mongodb"),
      arguments: serverArguments
    })
    const server = yield* MongoServer.start(config)
    return MongoOutbox.layer({ uri: Redacted.make(server.uri), appName: "reference-app" })
  })
)
