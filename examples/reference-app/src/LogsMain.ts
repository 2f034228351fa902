#!/usr/bin/env node
import { CliConfig, Command, HelpDoc, Options, ValidationError } from "@effect/cli"
import { FileSystem } from "@effect/platform/FileSystem"
import * as PlatformConfigProvider from "@effect/platform/PlatformConfigProvider"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { runMain } from "@effect/platform-node/NodeRuntime"
import { MongoDatabase } from "@twinbox/mongodb"
import { Cause, Data, Effect, Exit, Layer, Logger, LogLevel, Option, Record, Schema } from "effect"
import * as Database from "./Database.ts"
import { idPattern } from "./LogLine.ts"
import * as LogPage from "./LogPage.ts"
import * as LogStore from "./LogStore.ts"
import { sentenceOf } from "./Sentence.ts"
import * as Settings from "./Settings.ts"

const version = "0.1.0"

const maxLimit = 1_000
const defaultLimit = 100

/** Nothing has been stored yet, and nothing is started to find that out. */
class NoLogs extends Data.TaggedError("NoLogs")<{ readonly message: string }> {}

const id = (name: string, of: string) =>
  Options.text(name).pipe(
    Options.withPseudoName("ID"),
    Options.withDescription(`Lines of this ${of} only.`),
    Options.withSchema(
      Schema.String.pipe(
        Schema.pattern(idPattern, {
          message: () => `--${name} must be 1 to 128 letters, digits or one of . _ : -`
        })
      )
    ),
    Options.optional
  )

const ids = Options.all({
  session_id: id("session-id", "session"),
  request_id: id("request-id", "request")
}).pipe(
  Options.mapEffect((given) =>
    Object.values(given).some(Option.isSome)
      ? Effect.succeed(Record.getSomes(given))
      : Effect.fail(ValidationError.missingValue(HelpDoc.p("give --session-id, --request-id or both")))
  )
)

const limit = Options.integer("limit").pipe(
  Options.withPseudoName("N"),
  Options.withDescription(`How many lines, the newest, 1 to ${maxLimit}. Default ${defaultLimit}.`),
  Options.withSchema(
    Schema.Int.pipe(
      Schema.between(1, maxLimit, { message: () => `--limit must be a whole number from 1 to ${maxLimit}` })
    )
  ),
  Options.withDefault(defaultLimit)
)

const json = Options.boolean("json").pipe(
  Options.withDescription(
    "Print one JSON document, as GET /admin/logs answers it, instead of text for people."
  )
)

const checkData = Effect.gen(function* () {
  const { isMongoGiven } = yield* Settings.Settings
  const folder = yield* Database.folder
  if (isMongoGiven || (yield* (yield* FileSystem).exists(folder))) return
  yield* new NoLogs({
    message: `which logs? there is no MONGODB_URI, and the app has not kept any data in ${folder} yet`
  })
})

/** A person waits less patiently than a service, and can ask again. */
const connectWithin = "3 seconds"

const database = Layer.unwrapScoped(
  Effect.map(Effect.zipRight(checkData, Database.uri), (uri) =>
    MongoDatabase.layer({ uri, appName: "reference-app-logs", connectWithin, selectWithin: connectWithin })
  )
)

type Item = ReturnType<typeof LogPage.of>["items"][number]

const textOf = ({ at, errors, level, message, notes, ...ids }: Item): string => {
  const told = errors.length === 0 ? "" : ` (${errors.join("; ")})`
  const pairs = Object.entries({ ...notes, ...ids }).map(([name, value]) => ` ${name}=${value}`)
  return `${at} ${level.padEnd(5)} ${message}${told}${pairs.join("")}`
}

const print = (text: string) =>
  Effect.async<void>((resume) => {
    process.stdout.write(text, () => resume(Effect.void))
  })

const command = Command.make("logs", { ids, limit, json }, ({ ids, json: asJson, limit }) =>
  Effect.gen(function* () {
    const store = yield* LogStore.make
    const page = LogPage.of(yield* store.find({ ...ids, limit }), limit)
    // For people the newest comes last, as in the log itself.
    const lines = page.items.toReversed().map((item) => `${textOf(item)}\n`)
    yield* print(asJson ? `${JSON.stringify(page, null, 2)}\n` : lines.join(""))
  }).pipe(Effect.provide(Layer.provideMerge(database, Settings.layerConfig)))
).pipe(
  Command.withDescription(
    "Shows log lines of a session, a request or both, of all processes of the app, the oldest first. Looks in the MongoDB of MONGODB_URI (environment or .env), or else in the one that the app keeps in its data folder."
  )
)

const cli = Command.run(command, { name: "Logs of the Twinbox reference app", version, executable: "logs" })

const isUsageError = (cause: Cause.Cause<unknown>): boolean =>
  Option.exists(Cause.failureOption(cause), ValidationError.isValidationError)

/** Beside a usage error, which the command line has told already, one sentence. */
const tell = (cause: Cause.Cause<unknown>) =>
  Effect.sync(() => {
    if (!isUsageError(cause)) process.stderr.write(`logs: ${sentenceOf(cause)}\n`)
  })

/** Standard output is for results. */
const toStandardError = Logger.make(({ message }) => {
  process.stderr.write(`logs: ${String(message)}\n`)
})

const messages = Layer.merge(
  Logger.replace(Logger.defaultLogger, toStandardError),
  Logger.minimumLogLevel(LogLevel.Warning)
)

const main = cli(process.argv).pipe(
  Effect.tapErrorCause(tell),
  Effect.provide(messages),
  Effect.provide(CliConfig.layer({ isCaseSensitive: true, showBuiltIns: false })),
  Effect.provide(PlatformConfigProvider.layerDotEnvAdd(".env")),
  Effect.provide(NodeContext.layer)
)

const exitCode = Exit.match({
  onSuccess: () => 0,
  onFailure: (cause: Cause.Cause<unknown>) => (isUsageError(cause) ? 2 : 1)
})

// Whoever read our output has gone (`| head`): there is nobody to go on for.
process.stdout.on("error", () => process.exit(0))

// Ctrl-C interrupts, so that a server that was started here is stopped.
runMain(main, {
  disableErrorReporting: true,
  disablePrettyLogger: true,
  teardown: (exit, onExit) => onExit(exitCode(exit))
})
