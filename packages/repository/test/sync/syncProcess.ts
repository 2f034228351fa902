import { MongoOutbox } from "@twinbox/mongodb"
import { Effect, Layer, Redacted } from "effect"
import { makeSync } from "./testSync.ts"

/*
 * An instance of a sync as a process of its own, to be killed: `syncProcess.ts <uri> <database> <collection> <mode>`. It
 * prints a line for each document that it has put right.
 */

const [, , uri = "", database = "", collection = "", mode = ""] = process.argv

const say = (line: string) => Effect.sync(() => void process.stdout.write(`${line}\n`))

const program = Effect.gen(function* () {
  const sync = yield* makeSync(collection, { batchSize: 20, lease: "1 second" })
  yield* mode === "reindex"
    ? sync.reindex({ onReport: ({ id }) => say(id) })
    : sync.follow({
        flushAfter: "50 millis",
        onFlush: ({ reports }) => Effect.forEach(reports, ({ id }) => say(id), { discard: true })
      })
})

const outbox = MongoOutbox.layer({ uri: Redacted.make(uri), database, appName: "sync-process" })

await Effect.runPromise(program.pipe(Effect.provide(Layer.orDie(outbox)), Effect.scoped))
