import { MongoServer, type Report, type ServiceError } from "@twinbox/services"
import { type ConfigError, Data, Effect, Option, Schedule, type Scope } from "effect"
import { type Db, MongoClient } from "mongodb"
import { mongoClientName } from "./mongoClientName.ts"
import * as TcpProxy from "./TcpProxy.ts"

/** A replica set in which everybody reaches everybody through proxies. */
export interface ProxiedReplicaSet {
  /** Connection string by way of the proxies. */
  readonly uri: string
  /** What becomes of the traffic of clients with this `appName`, to all members. */
  readonly set: (appName: string, traffic: TcpProxy.Traffic) => Effect.Effect<void>
  /** Kills the primary, waits, and starts it again. */
  readonly killPrimary: (pause: Effect.Effect<void>) => Effect.Effect<void, MemberError | ServiceError>
  /** Has the primary step down in favour of another member. */
  readonly stepDown: Effect.Effect<void, MemberError>
  /** Waits until one member is primary and the others follow it. */
  readonly awaitHealthy: Effect.Effect<void, MemberError>
}

/** A member does not answer, or is not what it should be yet. */
export class MemberError extends Data.TaggedError("MemberError")<{ readonly message: string }> {}

const silent: Report = () => Effect.void

/**
 * MongoDB keeps the locks of a transaction whose client was killed until this age, 60 by default: everybody else would
 * wait so long for the documents that it wrote.
 */
const serverArguments = ["--setParameter", "transactionLifetimeLimitSeconds=3"]

/** How long a primary that stepped down may not be elected again. */
const stepDownSeconds = 5

const patience = Schedule.spaced("100 millis").pipe(Schedule.upTo("60 seconds"))

/** Asks one member itself, past its proxy. */
const ask = <A>(port: number, question: (admin: Db) => Promise<A>): Effect.Effect<A, MemberError> =>
  Effect.acquireUseRelease(
    Effect.sync(
      () =>
        new MongoClient(`mongodb://127.0.0.1:${port}/`, {
          directConnection: true,
          serverSelectionTimeoutMS: 2_000,
          connectTimeoutMS: 2_000
        })
    ),
    (client) =>
      Effect.tryPromise({
        try: () => question(client.db("admin")),
        catch: (error) => new MemberError({ message: String(error) })
      }),
    (client) => Effect.promise(() => client.close())
  )

interface Configuration {
  readonly version: number
  readonly members: ReadonlyArray<Readonly<Record<string, unknown>>>
}

/** Members advertise the addresses in the set's configuration, so clients and members go to the proxies. */
const readdress = (primary: number, addresses: ReadonlyArray<string>) =>
  ask(primary, async (admin) => {
    const { config } = (await admin.command({ replSetGetConfig: 1 })) as unknown as { config: Configuration }
    const members = config.members.map((member, index) => ({
      ...member,
      host: addresses[index],
      // None is preferred: a member that comes back does not make the others hold an election.
      priority: 1
    }))
    await admin.command({
      replSetReconfig: { ...config, members, version: config.version + 1 },
      // An ordinary change of addresses asks the majority by addresses that it does not know yet.
      force: true
    })
  })

const isPrimary = (port: number) =>
  ask(port, async (admin) => (await admin.command({ hello: 1 }))["isWritablePrimary"] === true)

const statesOf = (port: number) =>
  ask(port, async (admin) => {
    const status = await admin.command({ replSetGetStatus: 1 })
    return (status["members"] as ReadonlyArray<{ readonly stateStr: string }>).map(({ stateStr }) => stateStr)
  })

/** A replica set of three members behind proxies, until the end of the scope. */
export const proxiedReplicaSet: Effect.Effect<
  ProxiedReplicaSet,
  MemberError | ServiceError | ConfigError.ConfigError,
  Scope.Scope
> = Effect.gen(function* () {
  const config = yield* MongoServer.config({
    report: silent,
    members: 3,
    cacheGigabytes: 0.25,
    arguments: serverArguments
  })
  const { members } = yield* MongoServer.start({ ...config, uri: Option.none() })
  const proxies = yield* Effect.forEach(members, (member) =>
    TcpProxy.make({ target: member.port(), clientOf: mongoClientName })
  )
  const addresses = proxies.map(({ port }) => `127.0.0.1:${port}`)

  const findPrimary = Effect.firstSuccessOf(
    members.map((member) =>
      isPrimary(member.port()).pipe(
        Effect.filterOrFail(
          (yes) => yes,
          () => new MemberError({ message: "there is no primary" })
        ),
        Effect.as(member)
      )
    )
  ).pipe(Effect.retry(patience))

  const awaitHealthy = findPrimary.pipe(
    Effect.flatMap((primary) => statesOf(primary.port())),
    Effect.filterOrFail(
      (states) =>
        states.filter((state) => state === "PRIMARY").length === 1 &&
        states.filter((state) => state === "SECONDARY").length === members.length - 1,
      (states) => new MemberError({ message: states.join(", ") })
    ),
    Effect.retry(patience),
    Effect.asVoid
  )

  yield* Effect.flatMap(findPrimary, (primary) => readdress(primary.port(), addresses))
  yield* awaitHealthy

  return {
    uri: `mongodb://${addresses.join(",")}/?replicaSet=rs0`,
    set: (appName, traffic) =>
      Effect.forEach(proxies, (proxy) => proxy.set(appName, traffic), { discard: true }),
    killPrimary: (pause) =>
      Effect.flatMap(findPrimary, (primary) =>
        primary.kill("SIGKILL").pipe(
          Effect.zipRight(pause),
          // Its port may be in use for a moment longer than it is.
          Effect.zipRight(Effect.retry(primary.start, patience))
        )
      ),
    stepDown: Effect.flatMap(findPrimary, (primary) =>
      ask(primary.port(), (admin) =>
        admin.command({ replSetStepDown: stepDownSeconds, secondaryCatchUpPeriodSecs: 2 })
      )
    ).pipe(Effect.retry(patience), Effect.asVoid),
    awaitHealthy
  }
})
