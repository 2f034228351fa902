import { execFile } from "node:child_process"
import { Data, Duration, Effect } from "effect"

/** A program could not be run, ended with an error, or took too long. `missing`: there is no such program. */
export class CommandFailed extends Data.TaggedError("CommandFailed")<{
  readonly message: string
  readonly missing: boolean
  /** What it wrote to its standard output. */
  readonly output: string
}> {}

const lastLine = (text: string): string => text.trim().split("\n").at(-1)?.trim() ?? ""

/** Runs a program to its end and gives its standard output. Interruption kills it. */
export const runCommand = (
  program: string,
  args: ReadonlyArray<string>,
  options: { readonly limit: Duration.DurationInput }
): Effect.Effect<string, CommandFailed> =>
  Effect.async((resume) => {
    const limits = { timeout: Duration.toMillis(options.limit), maxBuffer: 16 * 1024 * 1024 }
    const fail = (message: string, missing: boolean, output = "") =>
      resume(Effect.fail(new CommandFailed({ message, missing, output })))
    try {
      const child = execFile(program, [...args], limits, (error, stdout, stderr) => {
        if (error === null) resume(Effect.succeed(stdout))
        else fail(lastLine(stderr) || error.message, error.code === "ENOENT", stdout)
      })
      return Effect.sync(() => child.kill("SIGKILL"))
    } catch (error) {
      // Some reasons why a program cannot be run are thrown, such as a file where a folder should be.
      return fail(String(error), true)
    }
  })
