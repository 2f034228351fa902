import { MongoClient, type MongoClientOptions, MongoServerError, MongoServerSelectionError } from "mongodb"
import { type Duration, Effect, Option, Schema } from "effect"
import { awaitUri } from "./AwaitUri.ts"
import type { Report } from "./Report.ts"
import { hostsOf } from "./ServerUri.ts"
import { ServiceError, type ServiceErrorReason } from "./ServiceError.ts"

const Hello = Schema.Struct({
  setName: Schema.optional(Schema.String),
  isreplicaset: Schema.optional(Schema.Boolean),
  msg: Schema.optional(Schema.String),
  hosts: Schema.optional(Schema.Array(Schema.String))
})
type Hello = typeof Hello.Type

const failed = (reason: ServiceErrorReason, message: string, retryable: boolean, cause?: unknown) =>
  new ServiceError({
    service: "MongoDB",
    reason,
    message,
    retryable,
    ...(cause === undefined ? {} : { cause })
  })

const standalone = (host: string) =>
  failed(
    "NotReplicaSet",
    `The MongoDB at ${host} is not a replica set, which transactions need: start it with "mongod --replSet rs0" and run "rs.initiate()" in it once.`,
    false
  )

const notInitiated = (host: string) =>
  failed(
    "NotReplicaSet",
    `The MongoDB at ${host} waits for its replica set to be initiated: run "rs.initiate()" in it once.`,
    true
  )

const membersOutOfReach = (host: string, members: ReadonlyArray<string>) =>
  failed(
    "Unreachable",
    `The MongoDB at ${host} answers, but its replica set has no primary that can be reached from here under the names it gives (${members.join(", ")}): wait for a primary, make these names resolve, or put directConnection=true into MONGODB_URI.`,
    true
  )

const noAnswer = (host: string, cause: unknown) =>
  failed(
    "Unreachable",
    `No MongoDB answers at ${host}: start it, correct MONGODB_URI, or unset it to have one started for you.`,
    true,
    cause
  )

const refused = (host: string, cause: unknown) =>
  failed(
    "AuthenticationFailed",
    `The MongoDB at ${host} refuses the credentials of MONGODB_URI, or asks for some: put the right ones into it (mongodb://user:password@host:port/?authSource=admin).`,
    false,
    cause
  )

// The driver's own words may repeat the URI, so neither they nor their error are passed on.
const notAUri = failed(
  "InvalidUri",
  "MONGODB_URI is not a MongoDB connection string: it looks like mongodb://user:password@host:port/?replicaSet=rs0.",
  false
)

/** Unauthorized, AuthenticationFailed, and what Atlas says. */
const refusalCodes: ReadonlyArray<unknown> = [13, 18, 8000]

const isRefusal = (error: unknown): boolean =>
  error instanceof MongoServerError && refusalCodes.includes(error.code)

/** A refusal can hide behind "no server could be selected". */
const hiddenRefusal = (error: unknown): unknown => {
  if (!(error instanceof MongoServerSelectionError) || error.reason === undefined) return undefined
  return [...error.reason.servers.values()].map((server) => server.error).find(isRefusal)
}

const readHello = (client: MongoClient): Effect.Effect<Hello, unknown> =>
  Effect.tryPromise(async () => {
    await client.connect()
    return client.db("admin").command({ hello: 1 })
  }).pipe(
    Effect.mapError((error) => error.error),
    Effect.flatMap(Schema.decodeUnknown(Hello))
  )

const withClient = <A, E>(
  make: () => MongoClient,
  use: (client: MongoClient) => Effect.Effect<A, E>
): Effect.Effect<A, E | ServiceError> =>
  Effect.acquireUseRelease(Effect.try({ try: make, catch: () => notAUri }), use, (client) =>
    Effect.promise(() => client.close().catch(() => undefined))
  )

const selectionTimeout: MongoClientOptions = { serverSelectionTimeoutMS: 2000, connectTimeoutMS: 2000 }

/** Asks one host what it is, without credentials and whatever its replica set is called. */
const askDirectly = (given: MongoClient): Effect.Effect<Option.Option<Hello>> => {
  const host = given.options.hosts[0]
  if (host === undefined) return Effect.succeedNone
  const options = { ...selectionTimeout, directConnection: true, tls: given.options.tls }
  return withClient(() => new MongoClient(`mongodb://${host.toString()}/`, options), readHello).pipe(
    Effect.option
  )
}

const isCapable = (hello: Hello): boolean => hello.setName !== undefined || hello.msg === "isdbgrid"

/** Says of a server that could not be used what it is. */
const explain = (host: string, given: MongoClient, cause: unknown): Effect.Effect<ServiceError> =>
  Effect.map(
    askDirectly(given),
    Option.match({
      onNone: () => noAnswer(host, cause),
      onSome: (hello) => {
        if (hello.isreplicaset === true) return notInitiated(host)
        if (!isCapable(hello)) return standalone(host)
        return membersOutOfReach(host, hello.hosts ?? [])
      }
    })
  )

/** Every host has refused the connection: asking it directly would only take longer. */
const nobodyListens = (error: unknown): boolean => {
  if (!(error instanceof MongoServerSelectionError) || error.reason === undefined) return false
  const servers = [...error.reason.servers.values()]
  return servers.length > 0 && servers.every((server) => server.error?.message.includes("ECONNREFUSED"))
}

const versionOf = (client: MongoClient) =>
  Effect.tryPromise({
    try: () => client.db("admin").command({ buildInfo: 1 }),
    catch: (error) => error
  }).pipe(
    Effect.flatMap(Schema.decodeUnknown(Schema.Struct({ version: Schema.String }))),
    Effect.map((info) => info.version)
  )

/** `hello` needs no credentials: only a command that does shows whether they are asked for. */
const checkAccess = (client: MongoClient) =>
  Effect.tryPromise({
    try: () => client.db().collection("twinbox_probe").estimatedDocumentCount({ maxTimeMS: 2000 }),
    catch: (error) => error
  })

const checkClient = (host: string, client: MongoClient): Effect.Effect<string, ServiceError> =>
  readHello(client).pipe(
    Effect.filterOrFail(isCapable, () => standalone(host)),
    Effect.zipRight(checkAccess(client)),
    Effect.zipRight(versionOf(client)),
    Effect.catchAll((error): Effect.Effect<never, ServiceError> => {
      if (error instanceof ServiceError) return Effect.fail(error)
      const refusal = isRefusal(error) ? error : hiddenRefusal(error)
      if (refusal !== undefined) return Effect.fail(refused(host, refusal))
      if (nobodyListens(error)) return Effect.fail(noAnswer(host, error))
      return Effect.flatMap(explain(host, client, error), Effect.fail)
    })
  )

/**
 * Waits until the MongoDB of a connection string answers to its credentials and is a replica set (or a
 * sharded cluster); gives its version.
 */
export const checkMongoUri = (
  uri: string,
  options: { readonly limit: Duration.DurationInput; readonly report: Report }
): Effect.Effect<string, ServiceError> => {
  const host = hostsOf(uri)
  const check = withClient(
    () => new MongoClient(uri, selectionTimeout),
    (client) => checkClient(host, client)
  )
  return awaitUri(check, { ...options, waiting: `MongoDB: waiting for MongoDB at ${host} ...` })
}
