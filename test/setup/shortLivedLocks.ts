import { ownMongo } from "./ownMongo.ts"

/**
 * A MongoDB of the test's own. It keeps the locks of a transaction whose client has died until its age limit: 60
 * seconds, in which the next process could hardly change anything. One second lets every kill come under full load.
 */
export const mongoWithShortLivedLocks = ownMongo({
  arguments: ["--setParameter", "transactionLifetimeLimitSeconds=1"]
})
