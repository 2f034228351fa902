import { Config, type ConfigError, Context, Effect, Layer, Option, type Scope } from "effect"
import { checkBrokers } from "./KafkaBrokers.ts"
import { probeKafka } from "./KafkaProbe.ts"
import { findKafka, type KafkaProgram } from "./KafkaProgram.ts"
import { logSettingsFile, prepareStorage, settingsFile } from "./KafkaStorage.ts"
import { reportToLog } from "./Report.ts"
import { searchConfig, uriConfig } from "./ServiceConfig.ts"
import { startGroup } from "./ServerGroup.ts"
import { defaultUriTimeout, noPid, notOwned, type ServerOptions, type ServerOrigin } from "./ServerHandle.ts"
import { makeServerProcess, type ServerProcess, type ServerProcessSpec } from "./ServerProcess.ts"
import type { ProgramSearch } from "./ServerProgram.ts"
import { serverFolder } from "./ServerRecord.ts"
import { ServiceError } from "./ServiceError.ts"

/** What a Kafka is asked for. `uri` is a list of brokers, `host:port,host:port`. */
export interface KafkaServerOptions extends ServerOptions {
  /** A fixed port; otherwise the one this data folder used last, or a free one. */
  readonly port?: number
  /** Where Java is, if not on the search path. */
  readonly javaHome: Option.Option<string>
  /** Settings of the broker beside our own, by their names in `server.properties`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Options of Java beside our own, which stand before them. */
  readonly javaArguments?: ReadonlyArray<string>
}

/** A running Kafka. The controls fail with `NotOwned` when the environment named it. */
export interface KafkaServerHandle extends Omit<ServerProcess, "port"> {
  /** `host:port`, several joined by commas. */
  readonly brokers: string
  readonly origin: ServerOrigin
  /** `unknown` when the environment named it. */
  readonly version: string
}

/** Java takes its time, the more so when others need the processor. */
const defaultStartTimeout = "60 seconds"

/** Kafka writes what it knows of its log when it stops, so that it need not read the log at the next start. */
const defaultStopTimeout = "10 seconds"

const probeLimit = "5 seconds"

const brokersOf = (port: number): string => `127.0.0.1:${port}`

const probe = (port: number): Effect.Effect<void, ServiceError> =>
  Effect.mapError(
    probeKafka("127.0.0.1", port, probeLimit),
    (cause) =>
      new ServiceError({
        service: "Kafka",
        reason: "Unreachable",
        message: `No Kafka answers at ${brokersOf(port)}.`,
        retryable: true,
        cause
      })
  )

/**
 * Little memory and a quick start: the slower of Java's compilers is the one that takes long. Whatever Java writes beside its data
 * goes into the server's folder.
 */
const javaArguments = (folder: string): ReadonlyArray<string> => [
  "-Xmx512m",
  "-XX:TieredStopAtLevel=1",
  "-XX:+UseSerialGC",
  "-XX:-UsePerfData",
  "-Djava.awt.headless=true",
  `-Djava.io.tmpdir=${folder}`,
  `-Dlog4j.configuration=file:${logSettingsFile(folder)}`
]

const overrides = (settings: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.entries(settings).flatMap(([name, value]) => ["--override", `${name}=${value}`])

const specOf = (options: KafkaServerOptions, kafka: KafkaProgram, folder: string): ServerProcessSpec => ({
  service: "Kafka",
  program: kafka.program,
  folder,
  port: Option.fromNullable(options.port),
  prepare: prepareStorage(kafka, folder),
  arguments: () => [
    ...javaArguments(folder),
    ...(options.javaArguments ?? []),
    "-cp",
    kafka.classPath,
    "kafka.Kafka",
    settingsFile(folder),
    ...overrides(options.settings ?? {}),
    ...(options.arguments ?? [])
  ],
  probe,
  startTimeout: options.startTimeout ?? defaultStartTimeout,
  stopTimeout: options.stopTimeout ?? defaultStopTimeout,
  report: options.report ?? reportToLog
})

const startOwn = (options: KafkaServerOptions): Effect.Effect<KafkaServerHandle, ServiceError, Scope.Scope> =>
  Effect.gen(function* () {
    const report = options.report ?? reportToLog
    const kafka = yield* findKafka(options)
    yield* report("Kafka: starting, which takes a few seconds ...")
    const [process] = yield* startGroup({
      service: "Kafka",
      dataFolder: Option.fromNullable(options.dataFolder),
      processes: (folder) => [makeServerProcess(specOf(options, kafka, serverFolder(folder, 0)))],
      unite: () => Effect.void,
      report
    })
    if (process === undefined) return yield* Effect.dieMessage("a group has the processes it was given")
    const brokers = brokersOf(process.port())
    yield* report(`Kafka: ready at ${brokers}`)
    return { ...process, brokers, origin: kafka.program.origin, version: kafka.program.version }
  })

const useGiven = (
  brokers: string,
  options: KafkaServerOptions
): Effect.Effect<KafkaServerHandle, ServiceError> =>
  Effect.as(
    checkBrokers(brokers, {
      limit: options.uriTimeout ?? defaultUriTimeout,
      report: options.report ?? reportToLog
    }),
    {
      brokers,
      origin: "environment",
      version: "unknown",
      pid: noPid,
      kill: () => notOwned("Kafka"),
      stop: notOwned("Kafka"),
      start: notOwned("Kafka"),
      restart: () => notOwned("Kafka")
    } satisfies KafkaServerHandle
  )

const start = (options: KafkaServerOptions): Effect.Effect<KafkaServerHandle, ServiceError, Scope.Scope> =>
  Option.match(options.uri, {
    onSome: (brokers) => useGiven(brokers, options),
    onNone: () => startOwn(options)
  })

/** What callers choose; the rest comes from the environment. */
type Given = Omit<KafkaServerOptions, "uri" | "javaHome" | keyof ProgramSearch>

const config = (given: Given = {}): Config.Config<KafkaServerOptions> =>
  Config.map(
    Config.all({
      uri: uriConfig("KAFKA_BROKERS"),
      javaHome: uriConfig("JAVA_HOME"),
      search: searchConfig(Config.succeed(Option.none()))
    }),
    ({ javaHome, search, uri }) => ({ ...given, ...search, javaHome, uri })
  )

/**
 * A real Kafka on 127.0.0.1, one node without ZooKeeper: the environment's, or one started with this machine's Java
 * from jars in the cache, and stopped at the end of the scope. Topics are not made by being used.
 */
export class KafkaServer extends Context.Tag("@twinbox/services/KafkaServer")<
  KafkaServer,
  KafkaServerHandle
>() {
  /** The options, with what the environment says: KAFKA_BROKERS, JAVA_HOME, PATH, TWINBOX_CACHE, XDG_CACHE_HOME, HOME. */
  static readonly config = config
  /** Finds Java and Kafka, and fetches Kafka when it is not in the cache: what can fail before a start. */
  static readonly find = (options: KafkaServerOptions): Effect.Effect<void, ServiceError> =>
    Effect.asVoid(findKafka(options))
  /** Provides a running Kafka until the scope ends. */
  static readonly start = start
  static readonly layer = (options: KafkaServerOptions): Layer.Layer<KafkaServer, ServiceError> =>
    Layer.scoped(KafkaServer, start(options))
  static readonly layerConfig = (
    given?: Given
  ): Layer.Layer<KafkaServer, ServiceError | ConfigError.ConfigError> =>
    Layer.unwrapEffect(Effect.map(config(given), KafkaServer.layer))
}
