import { type ChildProcess, fork, type ForkOptions } from "node:child_process"
import { readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"

const { scripts } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly scripts: Readonly<Record<string, string>>
}

/** Options that a script gives to Node. */
const flagsOf = (script: string): ReadonlyArray<string> => {
  const flags = /exec node ((?:--\S+ )+)/.exec(scripts[script] ?? "")?.[1]
  if (flags === undefined) throw new Error(`the script ${script} gives no options to Node`)
  return flags.trim().split(" ")
}

/**
 * Bounds of a process's memory, as the scripts in package.json have them. V8 lets garbage grow to several times what is
 * in use before it looks for it, the more the larger the machine is.
 */
export const memoryFlags = {
  /** Of the app with its roles. */
  app: flagsOf("prod:app"),
  /** Of a sync and of the command, which do much at once and nothing else. */
  sync: flagsOf("prod:sync")
} as const

const ended = (code: number | null) => Effect.dieMessage(`a process that is measured has ended with ${code}`)

/** Starts a program with a clean environment, its own flags of Node, and these options. */
export const start = (
  program: string,
  args: ReadonlyArray<string>,
  flags: ReadonlyArray<string>,
  options: ForkOptions = {}
): ChildProcess =>
  fork(program, args, {
    ...options,
    execPath: process.execPath,
    execArgv: ["--conditions=twinbox-source", ...flags],
    env: {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      // Types are stripped once, and not in each process anew.
      NODE_COMPILE_CACHE: join(tmpdir(), "twinbox-bench-compile-cache")
    }
  })

/**
 * Runs a program with an assignment in JSON and gives the message that it sends. A process each time: memory of the one
 * before would hide what the next one needs.
 */
export const run = <Outcome>(
  program: string,
  assignment: unknown,
  flags: ReadonlyArray<string>
): Effect.Effect<Outcome> =>
  Effect.async<Outcome>((resume) => {
    const child = start(program, [JSON.stringify(assignment)], flags)
    let outcome: { readonly message: Outcome } | undefined
    child.once("message", (message) => {
      outcome = { message: message as Outcome }
    })
    child.once("exit", (code) => {
      resume(outcome === undefined ? ended(code) : Effect.succeed(outcome.message))
    })
    return Effect.sync(() => child.kill())
  })
