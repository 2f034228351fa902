import type { AnonymizerError } from "@twinbox/anonymize"
import type { MongoDatabase, MongoError } from "@twinbox/mongodb"
import type { Outbox } from "@twinbox/outbox"
import { type KeyError, TwinSync } from "@twinbox/repository"
import { Context, Effect, Layer } from "effect"
import * as Customers from "./Customers.ts"
import type { PseudonymKey } from "./PseudonymKey.ts"
import { Settings } from "./Settings.ts"

/** Makes twins follow from customers that other programs write. */
export class CustomerSync extends Context.Tag("@twinbox/reference-app/CustomerSync")<
  CustomerSync,
  TwinSync.TwinSync
>() {}

const make = Effect.gen(function* () {
  const { syncBatchSize } = yield* Settings
  return yield* TwinSync.make({ ...(yield* Customers.options), batchSize: syncBatchSize })
})

export const layer: Layer.Layer<
  CustomerSync,
  AnonymizerError | KeyError | MongoError.MongoError,
  MongoDatabase.MongoDatabase | Outbox.Outbox | PseudonymKey | Settings
> = Layer.effect(CustomerSync, make)
