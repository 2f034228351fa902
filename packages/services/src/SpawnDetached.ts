import { spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import { Effect, Option } from "effect"
import { identityOf, type ProcessIdentity } from "./ProcessIdentity.ts"

export interface SpawnRequest {
  readonly program: string
  readonly arguments: ReadonlyArray<string>
  readonly folder: string
  readonly logFile: string
  /** Called at once with the new process, so that nothing can come between it and being remembered. */
  readonly onSpawn: (identity: ProcessIdentity) => void
}

/**
 * Starts a program in a session of its own: Ctrl-C on a terminal reaches every process of the foreground
 * group, and a server must outlive the app that still has to drain into it. Its output goes to a file, so it
 * depends on no pipe of a parent that may be killed.
 */
export const spawnDetached = (request: SpawnRequest): Effect.Effect<void, Error> =>
  Effect.async((resume) => {
    const log = openSync(request.logFile, "a")
    const child = spawn(request.program, [...request.arguments], {
      cwd: request.folder,
      detached: true,
      stdio: ["ignore", log, log]
    })
    closeSync(log)
    child.once("error", (error) => resume(Effect.fail(error)))
    if (child.pid === undefined) return
    child.unref()
    // A program that has ended already gets an identity that matches no process.
    const pid = child.pid
    request.onSpawn(Option.getOrElse(identityOf(pid), () => ({ pid, startedAt: "gone" })))
    resume(Effect.void)
  })
