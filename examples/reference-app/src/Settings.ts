import { Config, ConfigError, Context, Effect, Either, Layer, LogLevel, Option } from "effect"
import * as ApiTokens from "./ApiTokens.ts"

/** How fake customers are made. */
export interface GeneratorSettings {
  /** From the start of one batch to the start of the next, in milliseconds. */
  readonly delayMillis: number
  /** Writes of one batch, at least and at most. */
  readonly batchMin: number
  readonly batchMax: number
  /** Shares of the writes, from 0 to 1, that change or delete a customer instead of making one. */
  readonly updateShare: number
  readonly deleteShare: number
}

/** Where HTTP is served. */
export interface HttpSettings {
  /** A name or an address of this machine. */
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
}

/** What is taken over WebSockets. */
export interface IngestSettings {
  /** Sockets at once: of this process, and of one address. */
  readonly connections: number
  readonly connectionsPerAddress: number
  /** Messages a second in the long run, twice as many at once: of one session, and of one address. */
  readonly rate: number
  readonly ratePerAddress: number
  /** From one ping to the next; a socket that is silent so long is closed. */
  readonly pingMillis: number
}

/** How exports are kept. */
export interface ExportSettings {
  /** How long after their end. */
  readonly expiryMinutes: number
  /** The largest one, as it is stored. */
  readonly maxMegabytes: number
  /** How many of one user may run. */
  readonly maxPerUser: number
  /** After how long a silence of its process an export counts as failed. */
  readonly heartbeatLimitMillis: number
}

/**
 * - `auto`: a live line on a terminal, else as `plain`.
 * - `plain`: lines of text.
 * - `json`: one JSON object a line.
 */
export type LogFormat = "auto" | "plain" | "json"

/** All that the environment and `.env` say about the app itself; servers and secret have settings of their own. */
export class Settings extends Context.Tag("@twinbox/reference-app/Settings")<
  Settings,
  {
    /** Where embedded servers keep their data. */
    readonly dataFolder: string
    /** Whether the environment names the MongoDB; otherwise one is started. */
    readonly isMongoGiven: boolean
    readonly logFormat: LogFormat
    /** None: whatever the command line says. */
    readonly logLevel: Option.Option<LogLevel.LogLevel>
    /** Whether customers can be written in Redis, too. */
    readonly twoWay: boolean
    /** Whether to use a Kafka. */
    readonly kafka: boolean
    readonly generator: GeneratorSettings
    readonly http: HttpSettings
    readonly ingest: IngestSettings
    readonly exports: ExportSettings
    /** Customers that the role `sync` compares and writes together, at most. */
    readonly syncBatchSize: number
    /** None: the API is open. */
    readonly apiTokens: Option.Option<ApiTokens.ApiTokens>
  }
>() {}

const invalid = (path: ReadonlyArray<string>, problem: string) =>
  Either.left(ConfigError.InvalidData([...path], problem))

/** A setting that counts as absent when it is empty, as in `NAME=`. Its name comes into the error by itself. */
const parsed = <A>(name: string, parse: (text: string) => A | undefined, expected: string) =>
  Config.nonEmptyString(name).pipe(
    Config.mapOrFail((text) => {
      const value = parse(text.trim())
      return value === undefined ? invalid([], `must be ${expected}, and is "${text}"`) : Either.right(value)
    })
  )

const number = (name: string, preset: number, [min, max]: readonly [number, number], isWhole: boolean) =>
  Config.withDefault(
    parsed(
      name,
      (text) => {
        const value = Number(text)
        const fits = value >= min && value <= max && (!isWhole || Number.isInteger(value))
        return fits ? value : undefined
      },
      `a ${isWhole ? "whole " : ""}number from ${min} to ${max}`
    ),
    preset
  )

/** What an object inherits is no choice. */
const ownValue = <A>(choices: Readonly<Record<string, A>>, name: string): A | undefined =>
  Object.hasOwn(choices, name) ? choices[name] : undefined

const oneOf = <A>(name: string, choices: Readonly<Record<string, A>>) =>
  parsed(name, (text) => ownValue(choices, text.toLowerCase()), `one of ${Object.keys(choices).join(", ")}`)

const oneHour = 3_600_000
const longestBatch = 10_000

const generator = Config.all({
  delayMillis: number("FAKER_FILLING_DELAY_MS", 200, [0, oneHour], true),
  batchMin: number("FAKER_BATCH_MIN", 1, [1, longestBatch], true),
  batchMax: number("FAKER_BATCH_MAX", 10, [1, longestBatch], true),
  updateShare: number("FAKER_UPDATE_SHARE", 0.2, [0, 1], false),
  deleteShare: number("FAKER_DELETE_SHARE", 0.05, [0, 1], false)
}).pipe(
  Config.mapOrFail((given) => {
    if (given.batchMin > given.batchMax) {
      return invalid(["FAKER_BATCH_MIN"], `is ${given.batchMin} and over FAKER_BATCH_MAX, ${given.batchMax}`)
    }
    return given.updateShare + given.deleteShare > 1
      ? invalid(["FAKER_UPDATE_SHARE"], "and FAKER_DELETE_SHARE are together over 1")
      : Either.right(given)
  })
)

const http = Config.all({
  host: Config.withDefault(Config.nonEmptyString("HOST"), "127.0.0.1"),
  port: number("PORT", 3_000, [0, 65_535], true)
})

const mostConnections = 900
const highestRate = 100_000

const ingest = Config.all({
  connections: number("INGEST_CONNECTIONS", 500, [1, mostConnections], true),
  connectionsPerAddress: number("INGEST_CONNECTIONS_PER_ADDRESS", 100, [1, mostConnections], true),
  rate: number("INGEST_RATE", 100, [1, highestRate], true),
  ratePerAddress: number("INGEST_RATE_PER_ADDRESS", 2_000, [1, highestRate], true),
  pingMillis: number("INGEST_PING_MS", 30_000, [100, oneHour], true)
})

const oneWeek = 7 * 24 * 60

const exports = Config.all({
  expiryMinutes: number("EXPORT_EXPIRY_MINUTES", 60, [1, oneWeek], true),
  maxMegabytes: number("EXPORT_MAX_MEGABYTES", 4_096, [1, 1_048_576], true),
  maxPerUser: number("EXPORT_MAX_PER_USER", 3, [1, 1_000], true),
  heartbeatLimitMillis: number("EXPORT_HEARTBEAT_LIMIT_MS", 15_000, [1_000, oneHour], true)
})

/** What is wrong with it is not quoted: it is secret. */
const apiTokens = Config.nonEmptyString("API_TOKENS").pipe(
  Config.mapOrFail((text) => {
    const tokens = ApiTokens.parse(text)
    return tokens === undefined ? invalid([], `must be ${ApiTokens.expected}`) : Either.right(tokens)
  })
)

const logFormats: Readonly<Record<LogFormat, LogFormat>> = { auto: "auto", plain: "plain", json: "json" }

const logLevels = {
  trace: LogLevel.Trace,
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warning: LogLevel.Warning,
  error: LogLevel.Error,
  none: LogLevel.None
}

const onOrOff = { on: true, off: false }

const settings = Config.all({
  dataFolder: Config.withDefault(Config.nonEmptyString("TWINBOX_DATA"), ".data"),
  isMongoGiven: Config.map(Config.option(Config.nonEmptyString("MONGODB_URI")), Option.isSome),
  logFormat: Config.withDefault(oneOf("LOG_FORMAT", logFormats), "auto"),
  logLevel: Config.option(oneOf("LOG_LEVEL", logLevels)),
  twoWay: Config.withDefault(oneOf("TWO_WAY", onOrOff), true),
  kafka: Config.withDefault(oneOf("KAFKA", onOrOff), true),
  generator,
  http,
  ingest,
  exports,
  syncBatchSize: number("SYNC_BATCH_SIZE", 1_000, [1, longestBatch], true),
  apiTokens: Config.option(apiTokens)
})

export const layerConfig: Layer.Layer<Settings, ConfigError.ConfigError> = Layer.effect(
  Settings,
  Effect.map(settings, Settings.of)
)
