import { Config, Context, Duration, Effect, Layer, Redacted, Schedule, type Scope } from "effect"
import { type Db, MongoClient } from "mongodb"
import * as MongoError from "./MongoError.ts"

export interface Options {
  /** Connection string; printed nowhere. */
  readonly uri: Redacted.Redacted
  /** Name of the database. Default: the one in the URI, or `twinbox`. */
  readonly database?: string
  /** How this client names itself to the server. Default `twinbox`. */
  readonly appName?: string
  /** How long a start waits for a server that does not answer. Default 10 seconds. */
  readonly connectWithin?: Duration.DurationInput
  /** How long an operation waits for a primary. Default 10 seconds, enough for an election. */
  readonly selectWithin?: Duration.DurationInput
}

export type ConnectError =
  MongoError.Unavailable | MongoError.NotReplicaSet | MongoError.AuthenticationFailed | MongoError.Refused

/**
 * A connected MongoDB database with transactions. Give it a longer life than whatever writes: closing
 * the client aborts open transactions.
 */
export class MongoDatabase extends Context.Tag("@twinbox/mongodb/MongoDatabase")<
  MongoDatabase,
  { readonly client: MongoClient; readonly db: Db }
>() {}

const defaults = {
  appName: "twinbox",
  connectWithin: Duration.seconds(10),
  selectWithin: Duration.seconds(10)
}

/** Hosts of a URI, without credentials. */
const hostsOf = (uri: string): string =>
  /^mongodb(?:\+srv)?:\/\/(?:[^@/]*@)?([^/?]+)/.exec(uri)?.[1] ?? "the given URI"

const refuseUri = (cause: unknown) =>
  new MongoError.Refused({
    code: undefined,
    codeName: "the connection string is malformed (mongodb://host:port/database?replicaSet=name)",
    cause: cause instanceof Error ? cause.name : "Error"
  })

const makeClient = (uri: string, appName: string, selectWithin: Duration.DurationInput) =>
  Effect.acquireRelease(
    Effect.try({
      try: () =>
        new MongoClient(uri, {
          serverSelectionTimeoutMS: Duration.toMillis(selectWithin),
          ignoreUndefined: true,
          appName
        }),
      catch: refuseUri
    }),
    (client) => Effect.promise(() => client.close())
  )

const toConnectError = (error: unknown, server: string): ConnectError => {
  if (MongoError.isAuthenticationFailure(error)) return new MongoError.AuthenticationFailed({ server })
  const typed = MongoError.fromDriver(error)
  return typed._tag === "Refused" || typed._tag === "Unavailable"
    ? typed
    : new MongoError.Unavailable({ cause: typed._tag })
}

/** `hello` tells what kind of server answered: https://www.mongodb.com/docs/manual/reference/command/hello/ */
const checkReplicaSet = (client: MongoClient, server: string) =>
  Effect.gen(function* () {
    const hello = yield* Effect.tryPromise({
      try: () => client.db("admin").command({ hello: 1 }),
      catch: (error) => toConnectError(error, server)
    })
    if (hello["setName"] === undefined && hello["msg"] !== "isdbgrid") {
      return yield* new MongoError.NotReplicaSet({ server })
    }
    return undefined
  })

/** Credentials are checked by the first command that needs them. */
const checkAccess = (db: Db, server: string) =>
  Effect.tryPromise({
    try: () => db.listCollections({}, { nameOnly: true }).toArray(),
    catch: (error) => toConnectError(error, server)
  })

/** A short-lived client that gives up soon: the first answer tells what kind of server it is. */
const probe = (uri: string, server: string) =>
  Effect.scoped(
    Effect.flatMap(makeClient(uri, defaults.appName, Duration.seconds(1)), (client) =>
      checkReplicaSet(client, server)
    )
  )

const probeUntilUp = (uri: string, server: string, within: Duration.DurationInput) =>
  probe(uri, server).pipe(
    Effect.tapError((error) =>
      error.retryable ? Effect.logWarning(`waiting for MongoDB at ${server}`) : Effect.void
    ),
    Effect.retry({
      while: (error) => error.retryable,
      schedule: Schedule.spaced("500 millis").pipe(Schedule.upTo(within))
    })
  )

/** Connects, and checks that the server has transactions. Waits for a server that is not up yet, with a message. */
export const make = (
  given: Options
): Effect.Effect<Context.Tag.Service<MongoDatabase>, ConnectError, Scope.Scope> =>
  Effect.gen(function* () {
    const options = { ...defaults, ...given }
    const uri = Redacted.value(options.uri)
    const server = hostsOf(uri)
    yield* probeUntilUp(uri, server, options.connectWithin)
    const client = yield* makeClient(uri, options.appName, options.selectWithin)
    // The driver calls a database that the URI does not name "test".
    const named = client.options.dbName === "test" ? "twinbox" : client.options.dbName
    const db = client.db(options.database ?? named)
    yield* checkAccess(db, server)
    return MongoDatabase.of({ client, db })
  })

export const layer = (options: Options): Layer.Layer<MongoDatabase, ConnectError> =>
  Layer.scoped(MongoDatabase, make(options))

/** Reads `MONGODB_URI`. */
export const layerConfig = Layer.scoped(
  MongoDatabase,
  Effect.flatMap(Config.redacted("MONGODB_URI"), (uri) => make({ uri }))
)
