import { Outbox, type OutboxStore } from "@twinbox/outbox"
import { type ConfigError, Layer } from "effect"
import * as MongoDatabase from "./MongoDatabase.ts"
import type { MongoError } from "./MongoError.ts"
import * as MongoOutboxStore from "./MongoOutboxStore.ts"

/** What a program needs to write to an outbox, and to relay it. */
export type Services = MongoDatabase.MongoDatabase | OutboxStore.OutboxStore | Outbox.Outbox

const over = <E>(database: Layer.Layer<MongoDatabase.MongoDatabase, E>) =>
  Outbox.layer().pipe(Layer.provideMerge(MongoOutboxStore.layer), Layer.provideMerge(database))

/** A database, its outbox store and the outbox itself, from one connection string. */
export const layer = (
  options: MongoDatabase.Options
): Layer.Layer<Services, MongoDatabase.ConnectError | MongoError> => over(MongoDatabase.layer(options))

/** The same; reads `MONGODB_URI`. */
export const layerConfig: Layer.Layer<
  Services,
  MongoDatabase.ConnectError | MongoError | ConfigError.ConfigError
> = over(MongoDatabase.layerConfig)
