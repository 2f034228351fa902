import { MongoDatabase } from "@twinbox/mongodb"
import { Effect } from "effect"
import { inDatabase, type Servers } from "./BenchServers.ts"
import type { Figure } from "./Figure.ts"
import { round } from "./Measure.ts"
import * as RelayHost from "./RelayHost.ts"
import * as Slots from "./Slots.ts"

export interface IdleResult {
  readonly seconds: number
  /** To MongoDB, without the driver's own monitoring of the server. */
  readonly commandsPerSecond: number
  /** Of one core. */
  readonly cpuPercent: number
}

/** A process is busy for a while after its start: code is compiled, memory is tidied up. */
const settleWithin = "10 seconds"

const measure = (servers: Servers, seconds: number) =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const host = yield* RelayHost.make()
    yield* host.start({
      mongoUri: servers.mongoUri,
      database: db.databaseName,
      owner: "relay",
      sinks: [{ name: "redis-mirror", kind: "mirror", redisUrl: servers.redisUrl }],
      monitors: true
    })
    yield* Slots.settled(1)
    yield* Effect.sleep(settleWithin)
    const before = yield* host.report
    yield* Effect.sleep(`${seconds} seconds`)
    const after = yield* host.report
    yield* host.stop
    const millis = after.atMillis - before.atMillis
    const result: IdleResult = {
      seconds: round(millis / 1_000, 1),
      commandsPerSecond: round(((after.commands - before.commands) * 1_000) / millis, 2),
      cpuPercent: round(((after.cpuMillis - before.cpuMillis) * 100) / millis, 2)
    }
    return result
  })

/** (i) What a relay with nothing to do costs, in a process of its own. */
export const run = (servers: Servers, scale: number) =>
  inDatabase(servers, "idle", measure(servers, Math.max(1, 60 * scale)))

export const figures = (result: IdleResult): ReadonlyArray<Figure> => [
  {
    name: "(i) commands of an idle relay",
    measured: result.commandsPerSecond,
    unit: "per second",
    atMost: 2
  },
  { name: "(i) CPU of an idle relay", measured: result.cpuPercent, unit: "% of a core", atMost: 1 }
]
