import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Effect, Redacted } from "effect"
import { testMongo } from "../../../test/setup/testServers.ts"

/** A connection to a fresh database, under a name of its own, so that fail points can be aimed at it. */
export const testDatabase = Effect.gen(function* () {
  const { database, uri } = yield* testMongo
  return yield* MongoDatabase.make({ uri: Redacted.make(uri), database, appName: database })
})

/** The same with the outbox's collections. */
export const testOutboxDatabase = Effect.tap(testDatabase, (database) =>
  Effect.provideService(MongoIndexes.ensure, MongoDatabase.MongoDatabase, database)
)

interface FailPoint {
  readonly failCommands: ReadonlyArray<string>
  readonly errorCode?: number
  readonly errorLabels?: ReadonlyArray<string>
  readonly writeConcernError?: { readonly code: number; readonly errmsg: string }
  readonly closeConnection?: boolean
  readonly blockConnection?: boolean
  readonly blockTimeMS?: number
}

/** Makes the next commands of this client fail, `times` times. */
export const failNext = (
  { client, db }: MongoDatabase.MongoDatabase["Type"],
  times: number,
  data: FailPoint
) =>
  Effect.promise(() =>
    client.db("admin").command({
      configureFailPoint: "failCommand",
      mode: { times },
      data: { ...data, appName: db.databaseName }
    })
  )
