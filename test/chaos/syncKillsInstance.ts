import { MongoOutbox } from "@twinbox/mongodb"
import { Effect, Layer, Redacted } from "effect"
import { makeSync } from "../../packages/repository/test/sync/testSync.ts"
import { livesWithParent } from "./processes/livesWithParent.ts"

/*
 * An instance of a sync, to be killed: `syncKillsInstance.ts <uri> <database> <mode> <batchSize>`. It prints a line for
 * each document that it has put right.
 */

const [, , uri = "", database = "", mode = "", batchSize = ""] = process.argv

const say = (id: string) => Effect.sync(() => void process.stdout.write(`${id}\n`))

const program = Effect.gen(function* () {
  const sync = yield* makeSync("customers", { batchSize: Number(batchSize), lease: "1 second" })
  yield* mode === "reindex"
    ? Effect.forever(sync.reindex({ onReport: ({ id }) => say(id) }))
    : sync.follow({
        flushAfter: "10 millis",
        reindex: { onReport: ({ id }) => say(id) },
        onFlush: ({ reports }) => Effect.forEach(reports, ({ id }) => say(id), { discard: true })
      })
})

const outbox = MongoOutbox.layer({ uri: Redacted.make(uri), database, appName: "sync-instance" })

livesWithParent()
await Effect.runPromise(program.pipe(Effect.provide(Layer.orDie(outbox)), Effect.scoped))
