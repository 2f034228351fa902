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

const make = Effect.gen(function* () {
  const { twoWay } = yield* Settings
  return yield* TwinRepository.make({
    schema: Customer,
    collection: customerCollection,
    topic: customerTopic,
    // Without it, no personal data ever gets into the outbox.
    ...(twoWay ? { originalTopic: customerOriginalTopic } : {}),
    key: yield* PseudonymKey,
    groupCommit: true
  })
})

/** Makes collections and checks the secret against the one that this database knows. */
export const layer: Layer.Layer<
  Customers,
  AnonymizerError | KeyMismatch | MongoError.MongoError,
  MongoDatabase.MongoDatabase | Outbox.Outbox | PseudonymKey | Settings
> = Layer.scoped(Customers, make)
