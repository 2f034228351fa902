import { Config, Effect } from "effect"
import { ann, endless, exporterAt, ndjson } from "./testParts.ts"

/* An exporting process, to be killed. It says which export it writes. */

const program = Effect.gen(function* () {
  const url = yield* Config.string("EXPORT_REDIS")
  const exporter = yield* exporterAt(url, { heartbeatLimit: "1 second" })
  const { id } = yield* exporter.start(ann, endless, ndjson)
  yield* Effect.sync(() => process.stdout.write(`export=${id}\n`))
  return yield* Effect.never
})

await Effect.runPromise(Effect.scoped(program))
