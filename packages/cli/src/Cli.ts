import { Command } from "@effect/cli"
import { Effect } from "effect"
import * as Arguments from "./Arguments.ts"
import { UsageError } from "./CommandError.ts"
import * as Blocked from "./commands/Blocked.ts"
import * as Dead from "./commands/Dead.ts"
import * as Discard from "./commands/Discard.ts"
import * as Rebuild from "./commands/Rebuild.ts"
import * as Reindex from "./commands/Reindex.ts"
import * as Replay from "./commands/Replay.ts"
import * as Requeue from "./commands/Requeue.ts"
import * as RotateKey from "./commands/RotateKey.ts"
import * as Sinks from "./commands/Sinks.ts"
import * as Status from "./commands/Status.ts"
import * as Verify from "./commands/Verify.ts"
import * as Help from "./Help.ts"
import { Screen } from "./Screen.ts"

const version = "0.1.0"

const command = Command.make("twinbox").pipe(
  Command.withSubcommands([
    Status.command,
    Dead.command,
    Blocked.command,
    Requeue.command,
    Discard.command,
    Replay.command,
    Command.withSubcommands(Sinks.listing, [Sinks.removing]),
    Verify.command,
    Reindex.command,
    Rebuild.command,
    RotateKey.command
  ])
)

const helpEntries = [
  Help.entry("status", Status.command),
  Help.entry("dead", Dead.command),
  Help.entry("blocked", Blocked.command),
  Help.entry("requeue", Requeue.command),
  Help.entry("discard", Discard.command),
  Help.entry("replay", Replay.command),
  Help.entry("sinks", Sinks.listing),
  Help.entry("sinks remove", Sinks.removing),
  Help.entry("verify", Verify.command),
  Help.entry("reindex", Reindex.command),
  Help.entry("rebuild", Rebuild.command),
  Help.entry("rotate-key", RotateKey.command)
]

const execute = Command.run(command, { name: "twinbox", version, executable: "twinbox" })

/** The library expects the program and its script before the words. */
const withProgram = (words: ReadonlyArray<string>) => ["node", "twinbox", ...words]

/** Does what the words of the command line say. */
export const run = (given: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    if (Help.isAsked(given)) {
      const { print } = yield* Screen
      return yield* print(Help.of(helpEntries, given))
    }
    const words = yield* Effect.mapError(Arguments.check(given), (message) => new UsageError({ message }))
    return yield* execute(withProgram(words))
  })
