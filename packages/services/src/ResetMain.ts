import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { resetData } from "./ResetData.ts"

const dataFolder = process.argv[2] ?? ".data"

const main = Effect.gen(function* () {
  const removed = yield* resetData(dataFolder)
  yield* Console.log(removed ? `Removed ${dataFolder}.` : `There is no ${dataFolder}: nothing to remove.`)
}).pipe(
  Effect.catchTag("ServiceError", (error) =>
    Effect.zipRight(
      Console.error(error.message),
      Effect.sync(() => {
        process.exitCode = 1
      })
    )
  )
)

NodeRuntime.runMain(main)
