import { pathToFileURL } from "node:url"
import { FileSystem } from "@effect/platform/FileSystem"
import { Path } from "@effect/platform/Path"
import { Options } from "@effect/cli"
import { Config, ConfigError, Effect, Option } from "effect"
import { Failed, UsageError } from "./CommandError.ts"
import { isSyncConfig, type SyncConfig } from "./SyncConfig.ts"
import * as Table from "./Table.ts"

/** What is looked for in the working folder. */
const names = ["twinbox.config.ts", "twinbox.config.mts", "twinbox.config.js", "twinbox.config.mjs"]

/** `--config` */
export const option = Options.text("config").pipe(
  Options.withPseudoName("FILE"),
  Options.withDescription(
    "Module that describes the collection. Default: TWINBOX_CONFIG, or twinbox.config.ts (.mts, .js, .mjs) in the working folder."
  ),
  Options.optional
)

const nobodyKnows = new UsageError({
  message: `which collection? write a ${names[0]}, or name it with --config or TWINBOX_CONFIG`
})

const isThere = (file: string) =>
  Effect.flatMap(FileSystem, (files) => Effect.orElseSucceed(files.exists(file), () => false))

const fromEnvironment = Effect.orElseSucceed(
  Config.option(Config.nonEmptyString("TWINBOX_CONFIG")),
  Option.none<string>
)

/** The file that is meant: named, or found. */
const find = (given: Option.Option<string>) =>
  Effect.gen(function* () {
    const named = Option.isSome(given) ? given : yield* fromEnvironment
    if (Option.isNone(named)) {
      return yield* Effect.mapError(Effect.flatten(Effect.findFirst(names, isThere)), () => nobodyKnows)
    }
    return (yield* isThere(named.value))
      ? named.value
      : yield* new UsageError({ message: `there is no config '${named.value}'` })
  })

/** The first line of what went wrong; no stack. */
const problemOf = (error: unknown): string =>
  Table.printable(String(error instanceof Error ? error.message : error).split("\n")[0] ?? "")

const importFile = (file: string) =>
  Effect.flatMap(Path, (paths) =>
    Effect.tryPromise({
      try: async (): Promise<unknown> => {
        const found = (await import(pathToFileURL(paths.resolve(file)).href)) as {
          readonly default?: unknown
        }
        return found.default
      },
      catch: (error) => new Failed({ message: `'${file}' cannot be loaded: ${problemOf(error)}` })
    })
  )

/** A config that is made from settings is an Effect. */
const made = (exported: unknown): Effect.Effect<unknown, unknown> =>
  Effect.isEffect(exported) ? (exported as Effect.Effect<unknown, unknown>) : Effect.succeed(exported)

const noConfig = (file: string) =>
  new Failed({
    message: `'${file}' has no config as its default export: write 'export default define({ ... })'`
  })

/** The config that the command line, the environment or the working folder names. */
export const load = (
  given: Option.Option<string>
): Effect.Effect<SyncConfig, Failed | UsageError | ConfigError.ConfigError, FileSystem | Path> =>
  Effect.gen(function* () {
    const file = yield* find(given)
    const config = yield* Effect.mapError(made(yield* importFile(file)), (error) =>
      ConfigError.isConfigError(error)
        ? error
        : new Failed({ message: `'${file}' cannot be loaded: ${problemOf(error)}` })
    )
    return isSyncConfig(config) ? config : yield* noConfig(file)
  })
