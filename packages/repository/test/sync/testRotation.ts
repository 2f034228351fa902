import { type AnonymizeKey, Anonymizer } from "@twinbox/anonymize"
import { TwinRepository, TwinSync } from "@twinbox/repository"
import { Effect } from "effect"
import { isDeepStrictEqual } from "node:util"
import { ada, Customer, keyOf, topic } from "../testCustomer.ts"
import { type Foreign, using } from "./testSync.ts"

/** A key of its own secret for each version. */
export const keyOfVersion = (version: number) =>
  keyOf(version, `${version.toString(16).padStart(4, "0")}9f3c1ad94be2608571c0f2a95d3e8b47`)

type Settings = Partial<Omit<TwinRepository.Options<typeof Customer>, "schema" | "key">>

/** A repository as an instance with the key of this version has it. */
export const customersUnder = (collection: string, version: number, settings: Settings = {}) =>
  Effect.flatMap(keyOfVersion(version), (key) =>
    TwinRepository.make({ schema: Customer, collection, topic, key, ...settings })
  )

/** A sync with small batches, as an instance with the key of this version has it. */
export const syncUnder = (collection: string, version: number) =>
  Effect.flatMap(keyOfVersion(version), (key) =>
    TwinSync.make({ schema: Customer, collection, topic, key, batchSize: 10, lease: "1 second" })
  )

export const emailOf = (id: string) => `${id}@example.org`

export const customer = (_id: string) => ({ ...ada, _id, email: emailOf(_id) })

export const twinsOf = (collection: string) =>
  using(`${collection}_anonymised`, (found) => found.find({}).toArray())

const twinOf = (key: AnonymizeKey) =>
  Effect.map(
    Anonymizer.make(Customer, key),
    (anonymizer) =>
      ({ _id, version, ...fields }: Foreign): Foreign => ({
        _id,
        version,
        ...anonymizer.anonymize(fields as never),
        keyVersion: key.version,
        fingerprint: anonymizer.fingerprint
      })
  )

/** Checks on its own that each original has the twin that becomes of it under a key. Returns ids of those that do not. */
export const notUnder = (collection: string, version: number) =>
  Effect.gen(function* () {
    const expected = yield* Effect.flatMap(keyOfVersion(version), twinOf)
    const originals = yield* using(collection, (found) => found.find({}).toArray())
    const twins = new Map((yield* twinsOf(collection)).map((twin) => [twin._id, twin]))
    return originals
      .filter((original) => !isDeepStrictEqual(twins.get(original._id), expected(original)))
      .map(({ _id }) => _id)
  })
