import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { KafkaServer, MongoServer, RedisServer, type Report } from "@twinbox/services"
import { identityOf } from "../src/ProcessIdentity.ts"
import { Config, Effect, Option, Schedule } from "effect"

export const silent: Report = () => Effect.void

/** Options of this machine, whatever URI its environment names. */
export const redisOptions = Config.map(RedisServer.config({ report: silent }), (options) => ({
  ...options,
  uri: Option.none<string>()
}))
export const mongoOptions = Config.map(MongoServer.config({ report: silent }), (options) => ({
  ...options,
  uri: Option.none<string>()
}))

export const kafkaOptions = Config.map(KafkaServer.config({ report: silent }), (options) => ({
  ...options,
  uri: Option.none<string>()
}))

/** A report that remembers its lines. */
export const recorder = (): { readonly lines: Array<string>; readonly report: Report } => {
  const lines: Array<string> = []
  return { lines, report: (line) => Effect.sync(() => lines.push(line)) }
}

/** An empty folder, deleted at the end of the scope. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "twinbox-test-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

/** Whether a process lives; a zombie, which nobody has asked for its exit code, does not. */
export const isRunning = (pid: number): boolean => Option.isSome(identityOf(pid))

/** Waits until a process is gone. */
export const gone = (pid: number): Effect.Effect<boolean> =>
  Effect.sync(() => !isRunning(pid)).pipe(
    Effect.repeat({ until: (gone) => gone, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutTo({ duration: "6 seconds", onSuccess: () => true, onTimeout: () => false })
  )
