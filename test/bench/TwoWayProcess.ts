import { NodeRuntime } from "@effect/platform-node"
import { Effect } from "effect"
import { layerOf } from "./BenchServers.ts"
import { carryByHand, carryByTwinbox, type Carrier } from "./TwoWayParts.ts"

/* Carries writes over between MongoDB and Redis until it is ended; tells its parent when it is ready. */

const { database, kind, mongoUri, redisUrl } = JSON.parse(process.argv[2] ?? "") as Carrier

const ready = Effect.sync(() => void process.send?.("ready"))

const main = Effect.gen(function* () {
  yield* kind === "twinbox" ? carryByTwinbox : carryByHand(redisUrl)
  yield* ready
  return yield* Effect.never
}).pipe(Effect.scoped, Effect.provide(layerOf(mongoUri, database, redisUrl)))

// Nobody else would end it.
process.once("disconnect", () => process.exit(1))
NodeRuntime.runMain(main)
