import { MongoServer, type Report } from "@twinbox/services"
import { Effect, Option } from "effect"

const silent: Report = () => Effect.void

/**
 * A MongoDB of the test's own. It keeps the locks of a transaction whose client has died until its age limit: 60
 * seconds, in which the next process could hardly change anything. One second lets every kill come under full load.
 */
export const mongoWithShortLivedLocks = Effect.flatMap(
  MongoServer.config({
    report: silent,
    cacheGigabytes: 0.25,
    arguments: ["--setParameter", "transactionLifetimeLimitSeconds=1"]
  }),
  (config) => MongoServer.start({ ...config, uri: Option.none() })
)
