import { Config, type ConfigError, Context, Effect, Layer, Option, type Scope } from "effect"
import { flags } from "./Flags.ts"
import { programVersion } from "./ProgramVersion.ts"
import { reportToLog } from "./Report.ts"
import { redisCommands } from "./RedisConnection.ts"
import { checkRedisUrl } from "./RedisUri.ts"
import { searchConfig, uriConfig } from "./ServiceConfig.ts"
import { startGroup } from "./ServerGroup.ts"
import {
  defaultStartTimeout,
  defaultStopTimeout,
  defaultUriTimeout,
  noPid,
  notOwned,
  type ServerOptions,
  type ServerOrigin
} from "./ServerHandle.ts"
import { makeServerProcess, type ServerProcess } from "./ServerProcess.ts"
import { findProgram, type ProgramSearch, type ServerProgram } from "./ServerProgram.ts"
import { serverFolder } from "./ServerRecord.ts"
import { ServiceError } from "./ServiceError.ts"
import { redisWheel, wheelDownload } from "./WheelDownload.ts"

/** What a Redis is asked for. */
export interface RedisServerOptions extends ServerOptions {
  /** A fixed port; otherwise the one this data folder used last, or a free one. */
  readonly port?: number
}

/** A running Redis. The controls fail with `NotOwned` when the environment named it. */
export interface RedisServerHandle extends Omit<ServerProcess, "port"> {
  /** `redis://host:port`, with whatever the environment put into it. */
  readonly uri: string
  readonly origin: ServerOrigin
  readonly version: string
}

const advice =
  "install redis-server (6.2 or newer) so that it is on the PATH, or set REDIS_URL to a Redis you have"

const find = (options: RedisServerOptions): Effect.Effect<ServerProgram, ServiceError> =>
  findProgram({
    ...options,
    service: "Redis",
    name: "redis-server",
    versionOf: programVersion({ pattern: /v=(\d+\.\d+\.\d+)/, minimum: [6, 2] }),
    downloads: options.downloads ?? [wheelDownload(redisWheel)],
    report: options.report ?? reportToLog,
    advice
  })

const uriOf = (port: number): string => `redis://127.0.0.1:${port}`

const probe = (port: number): Effect.Effect<void, ServiceError> =>
  redisCommands(uriOf(port), [["PING"]]).pipe(
    Effect.mapError(
      (cause) =>
        new ServiceError({
          service: "Redis",
          reason: "Unreachable",
          message: `No Redis answers at 127.0.0.1:${port}.`,
          retryable: true,
          cause
        })
    ),
    Effect.asVoid
  )

/** Every write is in the append-only file, which reaches the disk once a second and at a clean stop. */
const durability = { appendonly: "yes", appendfsync: "everysec", save: "" }

const startOwn = (options: RedisServerOptions): Effect.Effect<RedisServerHandle, ServiceError, Scope.Scope> =>
  Effect.gen(function* () {
    const report = options.report ?? reportToLog
    const program = yield* find(options)
    const spec = (folder: string) => ({
      service: "Redis" as const,
      program,
      folder: serverFolder(folder, 0),
      port: Option.fromNullable(options.port),
      arguments: (port: number, dataFolder: string) => [
        ...flags({ port, bind: "127.0.0.1", dir: dataFolder, daemonize: "no", ...durability }),
        ...(options.arguments ?? [])
      ],
      probe,
      startTimeout: options.startTimeout ?? defaultStartTimeout,
      stopTimeout: options.stopTimeout ?? defaultStopTimeout,
      report
    })
    const [process] = yield* startGroup({
      service: "Redis",
      dataFolder: Option.fromNullable(options.dataFolder),
      processes: (folder) => [makeServerProcess(spec(folder))],
      unite: () => Effect.void,
      report
    })
    if (process === undefined) return yield* Effect.dieMessage("a group has the processes it was given")
    const uri = uriOf(process.port())
    yield* report(`Redis: ready at 127.0.0.1:${process.port()}`)
    return { ...process, uri, origin: program.origin, version: program.version }
  })

const useGiven = (uri: string, options: RedisServerOptions): Effect.Effect<RedisServerHandle, ServiceError> =>
  Effect.map(
    checkRedisUrl(uri, {
      limit: options.uriTimeout ?? defaultUriTimeout,
      report: options.report ?? reportToLog
    }),
    (version): RedisServerHandle => ({
      uri,
      origin: "environment",
      version,
      pid: noPid,
      kill: () => notOwned("Redis"),
      stop: notOwned("Redis"),
      start: notOwned("Redis"),
      restart: () => notOwned("Redis")
    })
  )

const start = (options: RedisServerOptions): Effect.Effect<RedisServerHandle, ServiceError, Scope.Scope> =>
  Option.match(options.uri, {
    onSome: (uri) => useGiven(uri, options),
    onNone: () => startOwn(options)
  })

type Given = Omit<RedisServerOptions, "uri" | keyof ProgramSearch>

const config = (given: Given = {}): Config.Config<RedisServerOptions> =>
  Config.map(
    Config.all({
      uri: uriConfig("REDIS_URL"),
      search: searchConfig(Config.succeed(Option.none()))
    }),
    ({ uri, search }) => ({ ...given, ...search, uri })
  )

/**
 * A real Redis on 127.0.0.1 with its append-only file on: the environment's, or one started from a program of
 * this machine or from a cached download, and stopped at the end of the scope.
 */
export class RedisServer extends Context.Tag("@twinbox/services/RedisServer")<
  RedisServer,
  RedisServerHandle
>() {
  /** The options, with what the environment says: REDIS_URL, PATH, TWINBOX_CACHE, XDG_CACHE_HOME, HOME. */
  static readonly config = config
  /** Provides a running Redis until the scope ends. */
  static readonly start = start
  static readonly layer = (options: RedisServerOptions): Layer.Layer<RedisServer, ServiceError> =>
    Layer.scoped(RedisServer, start(options))
  static readonly layerConfig = (
    given?: Given
  ): Layer.Layer<RedisServer, ServiceError | ConfigError.ConfigError> =>
    Layer.unwrapEffect(Effect.map(config(given), RedisServer.layer))
}
