import { Anonymizer } from "@twinbox/anonymize"
import { Effect } from "effect"
import type { Db } from "mongodb"
import { BenchCustomer, key } from "./BenchCustomer.ts"
import { collections, type StoredCustomer } from "./SyncBench.ts"

const batch = 1_000

/**
 * What somebody would write who needs twins once: find, hash, bulkWrite, a thousand at a time, with the same pseudonyms.
 * It writes one document for each customer, the twin. A reindex writes three, the original's version, the
 * twin and the message, in a transaction that reads original, twin and tombstone again, and notes how far it is. Nothing here checks
 * a document, knows what has changed meanwhile, can be stopped, or tells anybody. Returns the number of customers.
 */
export const makeTwins = (db: Db) =>
  Effect.gen(function* () {
    const anonymizer = yield* Anonymizer.make(BenchCustomer, key)
    return yield* Effect.promise(async () => {
      const twins = db.collection<{ _id: string }>(collections.twins)
      let count = 0
      let page: Array<StoredCustomer> = []
      const write = async () => {
        await twins.bulkWrite(
          page.map(({ _id, ...customer }) => ({
            replaceOne: { filter: { _id }, replacement: anonymizer.anonymize(customer), upsert: true }
          })),
          { ordered: false }
        )
        count += page.length
        page = []
      }
      for await (const customer of db
        .collection<StoredCustomer>(collections.originals)
        .find()
        .batchSize(batch)) {
        page.push(customer)
        if (page.length === batch) await write()
      }
      if (page.length > 0) await write()
      return count
    })
  })
