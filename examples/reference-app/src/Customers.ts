import type { AnonymizerError } from "@twinbox/anonymize"
import type { MongoDatabase, MongoError } from "@twinbox/mongodb"
import type { Outbox } from "@twinbox/outbox"
import { type KeyError, TwinRepository } from "@twinbox/repository"
import { Context, Effect, Layer } from "effect"
import {
  Customer,
  customerCollection,
  customerOriginalTopic,
  type CustomerTwin,
  customerTopic
} from "./Customer.ts"
import { PseudonymKey } from "./PseudonymKey.ts"
import { Settings } from "./Settings.ts"

/** The customers of this app, each with its twin; writes that arrive together share transactions. */
export class Customers extends Context.Tag("@twinbox/reference-app/Customers")<
  Customers,
  TwinRepository.TwinRepository<Customer, typeof Customer.Encoded, CustomerTwin>
>() {}

/** What makes a customer and its twin, whoever writes it, but for the key. */
export const definition: Effect.Effect<
  Omit<TwinRepository.Options<typeof Customer>, "key"> & { readonly schema: typeof Customer },
  never,
  Settings
> = Effect.map(Settings, ({ twoWay }) => ({
  schema: Customer,
  collection: customerCollection,
  topic: customerTopic,
  // Without it, no personal data ever gets into the outbox.
  ...(twoWay ? { originalTopic: customerOriginalTopic } : {})
}))

/** The same with the key. */
export const options: Effect.Effect<
  TwinRepository.Options<typeof Customer> & { readonly schema: typeof Customer },
  never,
  PseudonymKey | Settings
> = Effect.zipWith(definition, PseudonymKey, (definition, { newest }) => ({ ...definition, key: newest }))

const make = Effect.gen(function* () {
  const { earlier } = yield* PseudonymKey
  return yield* TwinRepository.make({ ...(yield* options), previousKeys: earlier, groupCommit: true })
})

/** Makes collections and checks the secret against the one that this database knows. */
export const layer: Layer.Layer<
  Customers,
  AnonymizerError | KeyError | MongoError.MongoError,
  MongoDatabase.MongoDatabase | Outbox.Outbox | PseudonymKey | Settings
> = Layer.scoped(Customers, make)
