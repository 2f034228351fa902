import { Outbox, type OutboxAdmin, type OutboxStore } from "@twinbox/outbox"
import { type ConfigError, Layer } from "effect"
import * as MongoDatabase from "./MongoDatabase.ts"
import type { MongoError } from "./MongoError.ts"
import * as MongoOutboxAdmin from "./MongoOutboxAdmin.ts"
import * as MongoOutboxStore from "./MongoOutboxStore.ts"

/** What a program needs to write to an outbox, to relay it and to look after it. */
export type Services =
  MongoDatabase.MongoDatabase | OutboxStore.OutboxStore | OutboxAdmin.OutboxAdmin | Outbox.Outbox

/** The producer limit, and how long delivered messages are kept. */
export type Options = Outbox.Options & MongoOutboxStore.Options

const over = <E>(database: Layer.Layer<MongoDatabase.MongoDatabase, E>, options: Options) =>
  Outbox.layer(options).pipe(
    Layer.provideMerge(
      // One after the other: the first one that starts makes the collections.
      Layer.provideMerge(MongoOutboxAdmin.layer(options), MongoOutboxStore.layer(options))
    ),
    Layer.provideMerge(database)
  )

/** A database, its outbox store with the admin port, and the outbox itself, from one connection string. */
export const layer = (
  options: MongoDatabase.Options & Options
): Layer.Layer<Services, MongoDatabase.ConnectError | MongoError> =>
  over(MongoDatabase.layer(options), options)

/** The same; reads `MONGODB_URI`. */
export const layerConfig = (
  options: Options = {}
): Layer.Layer<Services, MongoDatabase.ConnectError | MongoError | ConfigError.ConfigError> =>
  over(MongoDatabase.layerConfig, options)
