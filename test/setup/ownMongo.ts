import { MongoServer, type Report } from "@twinbox/services"
import { Effect, Option } from "effect"

const silent: Report = () => Effect.void

/** A MongoDB of this test's own, for what cannot be done to the shared one. */
export const ownMongo = (given: Parameters<typeof MongoServer.config>[0] = {}) =>
  Effect.flatMap(MongoServer.config({ report: silent, cacheGigabytes: 0.25, ...given }), (config) =>
    MongoServer.start({ ...config, uri: Option.none() })
  )
