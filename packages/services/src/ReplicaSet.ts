import { type Db, MongoClient, MongoServerError } from "mongodb"
import { Data, type Duration, Effect, Schedule, Schema } from "effect"
import { canConnect } from "./CanConnect.ts"
import { ServiceError } from "./ServiceError.ts"

/** The name of the replica set of servers started here. */
export const replicaSetName = "rs0"

/** A step towards a working replica set failed; it is tried again until time is up. */
class NotYet extends Data.TaggedError("NotYet")<{ readonly message: string; readonly code?: number }> {}

const notYetInitialized = 94

/** Elections of servers on one machine need not wait as long as those across a network (10 s). */
const electionTimeoutMillis = 3000

const Config = Schema.Struct({
  config: Schema.Struct({
    version: Schema.Number,
    members: Schema.Array(Schema.Struct({ _id: Schema.Number, host: Schema.String }))
  })
})

const Status = Schema.Struct({ members: Schema.Array(Schema.Struct({ stateStr: Schema.String })) })

const command = (admin: Db, document: Readonly<Record<string, unknown>>): Effect.Effect<unknown, NotYet> =>
  Effect.tryPromise({
    try: () => admin.command(document),
    catch: (error) =>
      new NotYet({
        message: String(error),
        ...(error instanceof MongoServerError && typeof error.code === "number" ? { code: error.code } : {})
      })
  })

const decode = <A, I>(schema: Schema.Schema<A, I>) =>
  Effect.flatMap((document: unknown) =>
    Effect.mapError(Schema.decodeUnknown(schema)(document), (error) => new NotYet({ message: error.message }))
  )

const hostOf = (port: number): string => `127.0.0.1:${port}`

const configuration = (ports: ReadonlyArray<number>, version: number) => ({
  _id: replicaSetName,
  version,
  members: ports.map((port, index) => ({ _id: index, host: hostOf(port), priority: index === 0 ? 2 : 1 })),
  settings: { electionTimeoutMillis, heartbeatIntervalMillis: 500 }
})

/** Gives the set its members, whether it is new, as it should be, or was configured with other ports. */
const configure = (admin: Db, ports: ReadonlyArray<number>): Effect.Effect<void, NotYet> =>
  Effect.gen(function* () {
    const current = yield* command(admin, { replSetGetConfig: 1 }).pipe(decode(Config), Effect.either)
    if (current._tag === "Left") {
      if (current.left.code !== notYetInitialized) return yield* current.left
      yield* command(admin, { replSetInitiate: configuration(ports, 1) })
      return
    }
    const { members, version } = current.right.config
    const asWanted =
      members.length === ports.length && ports.every((port, index) => members[index]?.host === hostOf(port))
    // The ports changed, so there may be no majority left that could agree on it: hence by force.
    if (!asWanted) {
      yield* command(admin, { replSetReconfig: configuration(ports, version + 1), force: true })
    }
  })

/** Every member serves: one of them as primary, and that one takes writes. */
const checkServing = (admin: Db): Effect.Effect<void, NotYet> =>
  Effect.gen(function* () {
    const { members } = yield* command(admin, { replSetGetStatus: 1 }).pipe(decode(Status))
    const states = members.map((member) => member.stateStr)
    const serving = states.every((state) => state === "PRIMARY" || state === "SECONDARY")
    if (!serving || !states.includes("PRIMARY")) return yield* new NotYet({ message: states.join(", ") })
  })

/** The first member is asked to stand for election at once, rather than after the election timeout. */
const hurryElection = (admin: Db): Effect.Effect<void> =>
  checkServing(admin).pipe(
    Effect.catchAll(() => command(admin, { replSetStepUp: 1 })),
    Effect.ignore
  )

const isWritable = (admin: Db): Effect.Effect<void, NotYet> =>
  Effect.flatMap(command(admin, { hello: 1 }), (hello) =>
    Schema.is(Schema.Struct({ isWritablePrimary: Schema.Literal(true) }))(hello)
      ? Effect.void
      : new NotYet({ message: "no primary that takes writes" })
  )

const writableSomewhere = (admin: Db, ports: ReadonlyArray<number>) =>
  ports.length === 1 ? isWritable(admin) : hurryElection(admin).pipe(Effect.zipRight(checkServing(admin)))

const withAdmin = <A, E>(port: number, use: (admin: Db) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.acquireUseRelease(
    Effect.sync(
      () =>
        new MongoClient(`mongodb://${hostOf(port)}/`, {
          directConnection: true,
          serverSelectionTimeoutMS: 2000
        })
    ),
    (client) => use(client.db("admin")),
    (client) => Effect.promise(() => client.close().catch(() => undefined))
  )

const attemptEvery = Schedule.spaced("50 millis")

/**
 * Makes one replica set of the mongod processes on these ports and waits until it takes writes. What a set
 * has stored survives; a set that was stored with other ports or another number of members is changed.
 */
export const uniteReplicaSet = (
  ports: ReadonlyArray<number>,
  limit: Duration.DurationInput
): Effect.Effect<void, ServiceError> =>
  withAdmin(ports[0] ?? 0, (admin) =>
    Effect.zipRight(
      Effect.retry(configure(admin, ports), attemptEvery),
      Effect.retry(writableSomewhere(admin, ports), attemptEvery)
    ).pipe(
      Effect.timeout(limit),
      Effect.mapError(
        (cause) =>
          new ServiceError({
            service: "MongoDB",
            reason: "DidNotStart",
            message: `MongoDB runs, but its replica set got no primary in time (${cause.message}).`,
            retryable: true,
            cause
          })
      )
    )
  )

const noAnswer = (port: number, cause?: unknown) =>
  new ServiceError({
    service: "MongoDB",
    reason: "Unreachable",
    message: `No MongoDB answers at ${hostOf(port)}.`,
    retryable: true,
    ...(cause === undefined ? {} : { cause })
  })

/** Whether the mongod on this port answers. */
export const probeMongod = (port: number): Effect.Effect<void, ServiceError> =>
  canConnect(port).pipe(
    Effect.filterOrFail(
      (listens) => listens,
      () => noAnswer(port)
    ),
    Effect.zipRight(withAdmin(port, (admin) => command(admin, { hello: 1 }))),
    Effect.catchTag("NotYet", (cause) => Effect.fail(noAnswer(port, cause))),
    Effect.asVoid
  )
