import { Effect, Redacted } from "effect"
import { connected, stepped, syncAndBuilds } from "../setup/rebuildParts.ts"

/*
 * A rebuild as a process of its own, to be killed: `rebuildProcess.ts <uri> <database> <url of Redis> <secret>`. It prints
 * a line for each step, and waits a moment after it.
 */

const [, , uri = "", database = "", url = "", secret = ""] = process.argv

const say = (step: string) =>
  Effect.zipRight(
    Effect.sync(() => void process.stdout.write(`${step}\n`)),
    Effect.sleep("5 millis")
  )

const program = Effect.gen(function* () {
  const { builds, sync } = yield* syncAndBuilds(Redacted.make(secret))
  yield* sync.rebuildMirror(stepped(builds.anonymized, say))
})

await Effect.runPromise(program.pipe(Effect.provide(connected({ uri, database, url })), Effect.scoped))
