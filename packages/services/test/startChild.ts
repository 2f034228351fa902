import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Effect, Schema, type Scope } from "effect"

const Started = Schema.parseJson(
  Schema.Struct({ uri: Schema.String, pids: Schema.NonEmptyArray(Schema.Number) })
)

const program = fileURLToPath(new URL("programs/startServers.ts", import.meta.url))

/** A process of its own, leader of its own group, that runs servers. */
export interface ChildServers {
  readonly child: ChildProcess
  readonly uri: string
  readonly pid: number
}

const withoutUris = (): NodeJS.ProcessEnv => {
  const env = { ...process.env }
  delete env["MONGODB_URI"]
  delete env["REDIS_URL"]
  delete env["KAFKA_BROKERS"]
  return env
}

/** Starts servers in another process and waits until they answer. Killed at the end of the scope. */
export const startChild = (
  service: "redis" | "mongo" | "kafka",
  dataFolder: string,
  env: NodeJS.ProcessEnv = {}
): Effect.Effect<ChildServers, Error, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["--conditions=twinbox-source", program, service, dataFolder], {
          stdio: ["ignore", "pipe", "inherit"],
          detached: true,
          env: { ...withoutUris(), ...env }
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const line = yield* Effect.async<string, Error>((resume) => {
      createInterface({ input: child.stdout }).once("line", (line) => resume(Effect.succeed(line)))
      child.once("exit", (code) => resume(Effect.fail(new Error(`the child ended with ${code}`))))
    })
    const { uri, pids } = yield* Effect.orDie(Schema.decode(Started)(line))
    return { child, uri, pid: pids[0] }
  })

/** Kills a child as the system would, without a chance to stop its servers, and waits for its end. */
export const killChild = ({ child }: ChildServers): Effect.Effect<void> =>
  Effect.async((resume) => {
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })

/** Sends a signal to a child's whole process group, as Ctrl-C on a terminal does. */
export const signalGroup = ({ child }: ChildServers, signal: NodeJS.Signals): void => {
  if (child.pid !== undefined) process.kill(-child.pid, signal)
}
