import type { AnonymizerError } from "@twinbox/anonymize"
import type { MongoDatabase, MongoError } from "@twinbox/mongodb"
import type { Outbox } from "@twinbox/outbox"
import { type KeyMismatch, TwinRepository } from "@twinbox/repository"
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

/** What makes a customer and its twin, whoever writes it. */
export const options: Effect.Effect<
  TwinRepository.Options<typeof Customer> & { readonly schema: typeof Customer },
  never,
  PseudonymKey | Settings
> = Effect.gen(function* () {
  const { twoWay } = yield* Settings
  return {
    schema: Customer,
    collection: customerCollection,
    topic: customerTopic,
    // Without it, no personal data ever gets into the outbox.
    ...(twoWay ? { originalTopic: customerOriginalTopic } : {}),
    key: yield* PseudonymKey
  }
})

const make = Effect.flatMap(options, (options) => TwinRepository.make({ ...options, groupCommit: true }))

/** Makes collections and checks the secret against the one that this database knows. */
export const layer: Layer.Layer<
  Customers,
  AnonymizerError | KeyMismatch | MongoError.MongoError,
  MongoDatabase.MongoDatabase | Outbox.Outbox | PseudonymKey | Settings
> = Layer.scoped(Customers, make)
