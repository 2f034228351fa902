import { Config, type ConfigError, Context, Effect, Layer, Option, type Scope } from "effect"
import { flags } from "./Flags.ts"
import { findMongod } from "./MongodProgram.ts"
import { checkMongoUri } from "./MongoUri.ts"
import { probeMongod, replicaSetName, uniteReplicaSet } from "./ReplicaSet.ts"
import { reportToLog } from "./Report.ts"
import { searchConfig, uriConfig } from "./ServiceConfig.ts"
import { startGroup } from "./ServerGroup.ts"
import {
  defaultStartTimeout,
  defaultStopTimeout,
  defaultUriTimeout,
  notOwned,
  type ServerOptions,
  type ServerOrigin
} from "./ServerHandle.ts"
import { makeServerProcess, type ServerProcess, type ServerProcessSpec } from "./ServerProcess.ts"
import type { ProgramSearch, ServerProgram } from "./ServerProgram.ts"
import { serverFolder } from "./ServerRecord.ts"
import type { ServiceError } from "./ServiceError.ts"

/** What a MongoDB replica set is asked for. */
export interface MongoServerOptions extends ServerOptions {
  /** How many mongod processes make up the replica set. Default 1. */
  readonly members?: number
  /** A fixed port of the first member, the others after it; otherwise the ones used last, or free ones. */
  readonly port?: number
  /** Memory for the cache of each member, in gigabytes. Default 0.5. */
  readonly cacheGigabytes?: number
  /** Size of the oplog of each member, in megabytes, when it is new. Default 256. */
  readonly oplogMegabytes?: number
  /**
   * How long old versions of documents are kept for snapshot reads, in seconds. Default 0 where MongoDB's is
   * 300: deleted index entries stay in the way of every read until then, and an outbox deletes all it holds.
   */
  readonly snapshotHistorySeconds?: number
}

/** A running MongoDB replica set. The controls fail with `NotOwned` when the environment named it. */
export interface MongoServerHandle {
  /** A connection string with the replica set's name, or whatever the environment gave. */
  readonly uri: string
  readonly origin: ServerOrigin
  readonly version: string
  /** The controls of each mongod process; empty when the environment named the server. */
  readonly members: ReadonlyArray<ServerProcess>
  /** The process ids of the members that run. */
  readonly pids: Effect.Effect<ReadonlyArray<number>>
  /** Sends a signal to all members. After SIGKILL this waits until they are gone. */
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<void, ServiceError>
  /** Ends all members cleanly. */
  readonly stop: Effect.Effect<void, ServiceError>
  /** Starts all members on the same ports with the same data, and waits until there is a primary. */
  readonly start: Effect.Effect<void, ServiceError>
  /** Stop, then start. */
  readonly restart: Effect.Effect<void, ServiceError>
}

const parameters = (settings: Readonly<Record<string, string | number>>): ReadonlyArray<string> =>
  Object.entries(settings).flatMap(([name, value]) => ["--setParameter", `${name}=${value}`])

const mongodArguments =
  (options: MongoServerOptions) =>
  (port: number, dataFolder: string): ReadonlyArray<string> => [
    ...flags({
      port,
      bind_ip: "127.0.0.1",
      dbpath: dataFolder,
      replSet: replicaSetName,
      oplogSize: options.oplogMegabytes ?? 256,
      wiredTigerCacheSizeGB: options.cacheGigabytes ?? 0.5,
      quiet: true,
      nounixsocket: true
    }),
    ...parameters({
      minSnapshotHistoryWindowInSeconds: options.snapshotHistorySeconds ?? 0,
      // A primary would otherwise wait 15 s for its clients to go elsewhere.
      shutdownTimeoutMillisForSignaledShutdown: 100,
      diagnosticDataCollectionEnabled: "false"
    }),
    ...(options.arguments ?? [])
  ]

const memberSpec = (
  options: MongoServerOptions,
  program: ServerProgram,
  folder: string,
  index: number
): ServerProcessSpec => ({
  service: "MongoDB",
  program,
  folder: serverFolder(folder, index),
  port: Option.map(Option.fromNullable(options.port), (port) => port + index),
  arguments: mongodArguments(options),
  probe: probeMongod,
  startTimeout: options.startTimeout ?? defaultStartTimeout,
  stopTimeout: options.stopTimeout ?? defaultStopTimeout,
  report: options.report ?? reportToLog
})

const uriOf = (ports: ReadonlyArray<number>): string =>
  `mongodb://${ports.map((port) => `127.0.0.1:${port}`).join(",")}/?replicaSet=${replicaSetName}`

const portsOf = (members: ReadonlyArray<ServerProcess>): ReadonlyArray<number> =>
  members.map((member) => member.port())

const together = { concurrency: "unbounded", discard: true } as const

const controls = (
  members: ReadonlyArray<ServerProcess>,
  unite: Effect.Effect<void, ServiceError>
): Pick<MongoServerHandle, "members" | "pids" | "kill" | "stop" | "start" | "restart"> => {
  const stop = Effect.forEach(members, (member) => member.stop, together)
  const start = Effect.zipRight(
    Effect.forEach(members, (member) => member.start, together),
    unite
  )
  return {
    members,
    pids: Effect.map(
      Effect.forEach(members, (member) => member.pid),
      (pids) => pids.flatMap(Option.toArray)
    ),
    kill: (signal) => Effect.forEach(members, (member) => member.kill(signal), together),
    stop,
    start,
    restart: Effect.zipRight(stop, start)
  }
}

const startOwn = (options: MongoServerOptions): Effect.Effect<MongoServerHandle, ServiceError, Scope.Scope> =>
  Effect.gen(function* () {
    const report = options.report ?? reportToLog
    const program = yield* findMongod(options)
    const indexes = Array.from({ length: options.members ?? 1 }, (_, index) => index)
    const unite = (members: ReadonlyArray<ServerProcess>) =>
      uniteReplicaSet(portsOf(members), options.startTimeout ?? defaultStartTimeout)
    const members = yield* startGroup({
      service: "MongoDB",
      dataFolder: Option.fromNullable(options.dataFolder),
      processes: (folder) =>
        indexes.map((index) => makeServerProcess(memberSpec(options, program, folder, index))),
      unite,
      report
    })
    const ports = portsOf(members)
    yield* report(`MongoDB: ready at ${ports.map((port) => `127.0.0.1:${port}`).join(", ")}`)
    return {
      uri: uriOf(ports),
      origin: program.origin,
      version: program.version,
      ...controls(members, unite(members))
    }
  })

const useGiven = (uri: string, options: MongoServerOptions): Effect.Effect<MongoServerHandle, ServiceError> =>
  Effect.map(
    checkMongoUri(uri, {
      limit: options.uriTimeout ?? defaultUriTimeout,
      report: options.report ?? reportToLog
    }),
    (version): MongoServerHandle => ({
      uri,
      origin: "environment",
      version,
      members: [],
      pids: Effect.succeed([]),
      kill: () => notOwned("MongoDB"),
      stop: notOwned("MongoDB"),
      start: notOwned("MongoDB"),
      restart: notOwned("MongoDB")
    })
  )

const start = (options: MongoServerOptions): Effect.Effect<MongoServerHandle, ServiceError, Scope.Scope> =>
  Option.match(options.uri, {
    onSome: (uri) => useGiven(uri, options),
    onNone: () => startOwn(options)
  })

/** What callers choose; the rest comes from the environment. */
type Given = Omit<MongoServerOptions, "uri" | keyof ProgramSearch>

const config = (given: Given = {}): Config.Config<MongoServerOptions> =>
  Config.map(
    Config.all({
      uri: uriConfig("MONGODB_URI"),
      search: searchConfig(uriConfig("MONGOMS_SYSTEM_BINARY"))
    }),
    ({ uri, search }) => ({ ...given, ...search, uri })
  )

/**
 * A real MongoDB replica set on 127.0.0.1: the environment's, or one started from a program of this machine
 * or from a cached download, and stopped at the end of the scope.
 */
export class MongoServer extends Context.Tag("@twinbox/services/MongoServer")<
  MongoServer,
  MongoServerHandle
>() {
  /**
   * The options, with what the environment says: MONGODB_URI, MONGOMS_SYSTEM_BINARY, PATH, TWINBOX_CACHE,
   * XDG_CACHE_HOME, HOME.
   */
  static readonly config = config
  /** Provides a running replica set until the scope ends. */
  static readonly start = start
  static readonly layer = (options: MongoServerOptions): Layer.Layer<MongoServer, ServiceError> =>
    Layer.scoped(MongoServer, start(options))
  static readonly layerConfig = (
    given?: Given
  ): Layer.Layer<MongoServer, ServiceError | ConfigError.ConfigError> =>
    Layer.unwrapEffect(Effect.map(config(given), MongoServer.layer))
}
