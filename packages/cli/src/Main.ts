#!/usr/bin/env node
import { CliConfig } from "@effect/cli"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as PlatformConfigProvider from "@effect/platform/PlatformConfigProvider"
import { type Cause, Effect, Layer } from "effect"
import * as Cli from "./Cli.ts"
import { Failed } from "./CommandError.ts"
import * as Ending from "./Ending.ts"
import * as Logs from "./Logs.ts"
import * as Screen from "./Screen.ts"
import * as StopSignal from "./StopSignal.ts"

const tell = (cause: Cause.Cause<Ending.Failure>) =>
  Effect.map(Screen.Screen, (screen) => {
    const sentence = Ending.sentence(cause)
    if (sentence !== undefined) screen.tell(`twinbox: ${sentence}`)
  })

const untilStopped = Effect.flatMap(StopSignal.StopSignal, (signal) =>
  Effect.zipRight(signal.unattended, new Failed({ message: "stopped" }))
)

const main = Effect.raceFirst(Cli.run(process.argv.slice(2)), untilStopped).pipe(
  Effect.tapErrorCause(tell),
  Effect.provide(Layer.merge(StopSignal.layer, Layer.provideMerge(Logs.layer, Screen.layer))),
  Effect.provide(CliConfig.layer({ isCaseSensitive: true, showBuiltIns: false })),
  Effect.provide(PlatformConfigProvider.layerDotEnvAdd(".env")),
  Effect.provide(NodeContext.layer)
)

// Whoever read our output has gone (`| head`): there is nobody to go on for.
process.stdout.on("error", () => process.exit(0))

Effect.runFork(main).addObserver((exit) => process.exit(Ending.exitCode(exit)))
