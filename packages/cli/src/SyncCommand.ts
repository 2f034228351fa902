import type { FileSystem } from "@effect/platform/FileSystem"
import type { Path } from "@effect/platform/Path"
import { Options } from "@effect/cli"
import { AnonymizeKey } from "@twinbox/anonymize"
import { MongoDatabase, type MongoError } from "@twinbox/mongodb"
import type { Outbox } from "@twinbox/outbox"
import { RedisConnection, type RedisError } from "@twinbox/redis"
import { KeyRegistry, type TwinSync } from "@twinbox/repository"
import { Config, ConfigError, Effect, Either, Option, type Redacted, Schema, type Scope } from "effect"
import { Failed, UsageError } from "./CommandError.ts"
import * as ConfigFile from "./ConfigFile.ts"
import * as Connection from "./Connection.ts"
import * as Output from "./Output.ts"
import type { Screen } from "./Screen.ts"
import * as Sentence from "./Sentence.ts"
import { settingSentence } from "./SettingSentence.ts"
import type * as SyncConfig from "./SyncConfig.ts"

const maxBatch = 10_000
const presetBatch = 1_000

const isBatch = (size: number): boolean => Number.isInteger(size) && size >= 1 && size <= maxBatch
const batchProblem = (name: string) => `${name} must be a whole number from 1 to ${maxBatch}`

/** A whole number of at least 1. */
export const count = (name: string, description: string) =>
  Options.integer(name).pipe(
    Options.withPseudoName("N"),
    Options.withDescription(description),
    Options.withSchema(
      Schema.Int.pipe(Schema.positive({ message: () => `--${name} must be a whole number of at least 1` }))
    ),
    Options.optional
  )

/** Options of every command over a sync: which collection is meant, and how the answer looks. */
export const options = {
  config: ConfigFile.option,
  batchSize: count(
    "batch-size",
    `Documents that are worked on together, at most. Default: SYNC_BATCH_SIZE, or ${presetBatch}.`
  ),
  json: Output.json,
  ...Connection.options
}

export interface Given extends Connection.Given {
  readonly config: Option.Option<string>
  readonly batchSize: Option.Option<number>
  readonly json: boolean
}

/** What a command over a sync works with. */
export interface SyncWorld {
  readonly config: SyncConfig.SyncConfig
  /** The newest key: that of the environment. */
  readonly key: AnonymizeKey
  readonly sync: TwinSync.TwinSync
}

/** Those of the database that is meant. */
type Services = MongoDatabase.MongoDatabase | Outbox.Outbox

/** What a command could not do becomes one sentence for people. */
const tellable = (error: Sentence.CommandError | ConfigError.ConfigError): Failed | UsageError => {
  if (ConfigError.isConfigError(error)) return new UsageError({ message: settingSentence(error) })
  switch (error._tag) {
    case "UsageError":
    case "Failed":
      return error
    case "SecretError":
      return new UsageError({ message: Sentence.of(error) })
    default:
      return new Failed({ message: Sentence.of(error) })
  }
}

/** What is wrong with a version is not quoted: it may be the secret, in the wrong place. */
const key = Effect.mapError(AnonymizeKey.config, (error) =>
  ConfigError.isConfigError(error)
    ? new UsageError({ message: "ANONYMIZE_KEY_VERSION must be a whole number from 1 to 2147483647" })
    : error
)

const batchFromEnvironment = Config.nonEmptyString("SYNC_BATCH_SIZE").pipe(
  Config.map(Number),
  Config.withDefault(presetBatch),
  Effect.filterOrFail(isBatch, () => new UsageError({ message: batchProblem("SYNC_BATCH_SIZE") }))
)

const batchSizeOf = (given: Given) =>
  Option.match(given.batchSize, {
    onNone: () => batchFromEnvironment,
    onSome: (size) =>
      isBatch(size)
        ? Effect.succeed(size)
        : Effect.fail(new UsageError({ message: batchProblem("--batch-size") }))
  })

const conclude = ({ problem }: Output.Result) =>
  problem === undefined ? Effect.void : new Failed({ message: problem })

/**
 * A key that the database does not know becomes the newest with the sync, and syncs that have another stop: a mistyped
 * version must not do that.
 */
const checkKnown = ({
  version
}: AnonymizeKey): Effect.Effect<void, MongoError.MongoError | Failed, MongoDatabase.MongoDatabase> =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const known = yield* KeyRegistry.versions(db)
    if (known.length > 0 && !known.includes(version)) {
      yield* new Failed({
        message: `this database knows key ${known.length > 1 ? "versions" : "version"} ${known.join(", ")} and no ${version}: look at ANONYMIZE_KEY_VERSION; a new key begins with 'twinbox rotate-key'`
      })
    }
  })

/**
 * Does a command's work over the collection that is meant, and prints what came of it. What is wrong with config and
 * settings is told before anything is connected to. Long work goes into `LongWork.run`.
 */
export const run = <R>(
  given: Given,
  work: (world: SyncWorld) => Effect.Effect<Output.Result, Sentence.CommandError, R>,
  { mayBeginKey = false }: { readonly mayBeginKey?: boolean } = {}
): Effect.Effect<
  void,
  Failed | UsageError,
  Exclude<Exclude<R, Scope.Scope>, Services> | FileSystem | Path | Screen
> =>
  Effect.gen(function* () {
    const config = yield* ConfigFile.load(given.config)
    const secret = yield* key
    const batchSize = yield* batchSizeOf(given)
    const result = yield* Effect.gen(function* () {
      if (!mayBeginKey) yield* checkKnown(secret)
      const sync = yield* config.sync(secret, { batchSize })
      const result = yield* work({ config, key: secret, sync })
      // While the connection is open, since closing it can be interrupted.
      yield* Output.print(given.json, result)
      return result
    }).pipe(Effect.scoped, Effect.provide(Connection.forSync(given, config.collection)))
    yield* conclude(result)
  }).pipe(Effect.mapError(tellable))

/** `--redis-url` */
export const redisUrl = Options.redacted("redis-url").pipe(
  Options.withPseudoName("URL"),
  Options.withDescription(
    "Redis with the mirrors. Default: REDIS_URL from the environment or .env, which other users of the machine cannot see."
  ),
  Options.optional
)

/** The Redis that is meant, if one is. */
export const redisUrlOf = (
  given: Option.Option<Redacted.Redacted>
): Effect.Effect<Option.Option<Redacted.Redacted>> =>
  Option.isSome(given)
    ? Effect.succeed(given)
    : Effect.orElseSucceed(Config.option(Config.redacted(Config.nonEmptyString("REDIS_URL"))), Option.none)

/** A person waits less patiently than a service, and can ask again. */
const connectWithin = "3 seconds"

/** Connects to the Redis that is meant; without one it is a usage error. */
export const redis = (
  given: Option.Option<Redacted.Redacted>
): Effect.Effect<RedisConnection.Connection, RedisError.RedisError | UsageError, Scope.Scope> =>
  Effect.gen(function* () {
    const url = yield* redisUrlOf(given)
    if (Option.isSome(url)) return yield* RedisConnection.make({ url: url.value, connectWithin })
    return yield* new UsageError({ message: "which Redis? set REDIS_URL, or add --redis-url" })
  })

/** The mirrors of these names, in the order of the config; all when none is named. */
export const mirrorsOf = (
  { mirrors }: SyncConfig.SyncConfig,
  names: ReadonlyArray<string>
): Either.Either<ReadonlyArray<SyncConfig.Mirror>, UsageError> => {
  const unknown = names.find((name) => !mirrors.some((mirror) => mirror.name === name))
  if (unknown === undefined) {
    return Either.right(mirrors.filter(({ name }) => names.length === 0 || names.includes(name)))
  }
  const known = mirrors.length === 0 ? "none" : mirrors.map(({ name }) => name).join(", ")
  return Either.left(
    new UsageError({ message: `there is no mirror '${unknown}' in the config, which has: ${known}` })
  )
}
