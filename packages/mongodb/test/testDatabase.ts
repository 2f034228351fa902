import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Effect, Redacted, Schedule } from "effect"
import { type MongoClient, MongoServerError } from "mongodb"
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

/** Where test files leave word that they use the server's only fail point. */
const failPoints = "test_fail_points"

const hasOne = (error: unknown) => error instanceof MongoServerError && error.code === 11000

/** A server has one `failCommand`, and a second setting replaces the first: one test at a time has it. */
const failPoint = (client: MongoClient) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => client.db(failPoints).collection<{ _id: string }>("taken").insertOne({ _id: "failCommand" }),
      catch: (error) => error
    }).pipe(Effect.retry({ while: hasOne, schedule: Schedule.spaced("20 millis") }), Effect.orDie),
    () =>
      Effect.promise(async () => {
        await client.db("admin").command({ configureFailPoint: "failCommand", mode: "off" })
        await client.db(failPoints).collection<{ _id: string }>("taken").deleteOne({ _id: "failCommand" })
      })
  )

/** Makes the next commands of this client fail, `times` times, until the end of the test. Once in a test. */
export const failNext = (
  { client, db }: MongoDatabase.MongoDatabase["Type"],
  times: number,
  data: FailPoint
) =>
  Effect.zipRight(
    failPoint(client),
    Effect.promise(() =>
      client.db("admin").command({
        configureFailPoint: "failCommand",
        mode: { times },
        data: { ...data, appName: db.databaseName }
      })
    )
  )
