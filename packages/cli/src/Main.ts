#!/usr/bin/env node
import { CliConfig, ValidationError } from "@effect/cli"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as PlatformConfigProvider from "@effect/platform/PlatformConfigProvider"
import { Cause, Effect, Exit, Layer, Option } from "effect"
import * as Cli from "./Cli.ts"
import { Failed, UsageError } from "./CommandError.ts"
import * as Logs from "./Logs.ts"
import * as Screen from "./Screen.ts"
import * as StopSignal from "./StopSignal.ts"

const isUsageError = (failure: unknown): boolean =>
  ValidationError.isValidationError(failure) || failure instanceof UsageError

const exitCode = (exit: Exit.Exit<unknown, unknown>): number =>
  Exit.match(exit, {
    onSuccess: () => 0,
    onFailure: (cause) => (Option.exists(Cause.failureOption(cause), isUsageError) ? 2 : 1)
  })

/** A fault may quote anything, so only its kind is told. */
const faultSentence = (cause: Cause.Cause<unknown>): string => {
  const [fault] = Cause.defects(cause)
  return `the command has a fault (${fault instanceof Error ? fault.name : "unknown"}): please report it`
}

/** The command line library has told about its own errors already. */
const tell = (cause: Cause.Cause<ValidationError.ValidationError | Failed | UsageError>) =>
  Effect.sync(() => {
    const failure = Option.getOrUndefined(Cause.failureOption(cause))
    if (ValidationError.isValidationError(failure)) return
    process.stderr.write(`twinbox: ${failure?.message ?? faultSentence(cause)}\n`)
  })

const untilStopped = Effect.flatMap(StopSignal.StopSignal, (signal) =>
  Effect.zipRight(signal.unattended, new Failed({ message: "stopped" }))
)

const main = Effect.raceFirst(Cli.run(process.argv.slice(2)), untilStopped).pipe(
  Effect.tapErrorCause(tell),
  Effect.provide(Layer.mergeAll(StopSignal.layer, Screen.layer, Logs.layer)),
  Effect.provide(CliConfig.layer({ isCaseSensitive: true, showBuiltIns: false })),
  Effect.provide(PlatformConfigProvider.layerDotEnvAdd(".env")),
  Effect.provide(NodeContext.layer)
)

// Whoever read our output has gone (`| head`): there is nobody to go on for.
process.stdout.on("error", () => process.exit(0))

Effect.runFork(main).addObserver((exit) => process.exit(exitCode(exit)))
