import { PassThrough } from "node:stream"
import { CliConfig } from "@effect/cli"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Cause, ConfigProvider, Deferred, Effect, Exit, Layer } from "effect"
import * as Cli from "../src/Cli.ts"
import * as Ending from "../src/Ending.ts"
import * as Logs from "../src/Logs.ts"
import * as Screen from "../src/Screen.ts"
import * as StopSignal from "../src/StopSignal.ts"
import type { Ended } from "./CliWorld.ts"

const ignore = new PassThrough()

/**
 * Runs the command in this process, which takes no second to start. What `Main` does beside is tested with processes.
 * `env` is all of the environment that it sees.
 */
export const run = (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>
): Effect.Effect<Ended> =>
  Effect.gen(function* () {
    const written = { stdout: "", stderr: "" }
    const streamTo = (name: keyof typeof written) =>
      Object.assign(
        new PassThrough({
          write: (chunk: Buffer, _encoding, done) => {
            written[name] += chunk.toString()
            done()
          }
        }),
        { isTTY: false }
      )
    const screen = Screen.make({ input: ignore, output: streamTo("stdout"), errors: streamTo("stderr") })
    const signal = StopSignal.make(yield* Deferred.make<void>())
    const services = Layer.mergeAll(
      Layer.succeed(StopSignal.StopSignal, signal),
      Layer.provideMerge(Logs.layer, Layer.succeed(Screen.Screen, screen)),
      CliConfig.layer({ isCaseSensitive: true, showBuiltIns: false }),
      NodeContext.layer
    )
    const exit = yield* Effect.consoleWith((console) =>
      Cli.run(args).pipe(
        Effect.provide(services),
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env)))),
        // Where the command line library tells what is wrong.
        Effect.withConsole({
          ...console,
          error: (...words: ReadonlyArray<unknown>) => Effect.sync(() => screen.tell(words.join(" ")))
        }),
        Effect.exit
      )
    )
    if (Exit.isFailure(exit)) {
      const sentence = Ending.sentence(exit.cause)
      if (Cause.isDie(exit.cause)) written.stderr += Cause.pretty(exit.cause)
      if (sentence !== undefined) screen.tell(`twinbox: ${sentence}`)
    }
    return { code: Ending.exitCode(exit), ...written }
  })
