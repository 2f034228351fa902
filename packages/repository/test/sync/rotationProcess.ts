import { MongoOutbox } from "@twinbox/mongodb"
import { Effect, Layer, Redacted } from "effect"
import { syncUnder } from "./testRotation.ts"

/* A rotation as a process of its own, to be killed: `rotationProcess.ts <uri> <database> <collection> <key version>`. */

const [, , uri = "", database = "", collection = "", version = ""] = process.argv

const say = (line: string) => Effect.sync(() => void process.stdout.write(`${line}\n`))

const program = Effect.flatMap(syncUnder(collection, Number(version)), ({ rotation }) =>
  rotation.run({ onReport: ({ id }) => say(id) })
)

const outbox = MongoOutbox.layer({ uri: Redacted.make(uri), database, appName: "rotation-process" })

await Effect.runPromise(program.pipe(Effect.provide(Layer.orDie(outbox)), Effect.scoped))
