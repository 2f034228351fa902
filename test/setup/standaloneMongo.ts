import { MongoServer, type Report } from "@twinbox/services"
import { Effect, Option } from "effect"
import { flags } from "../../packages/services/src/Flags.ts"
import { findMongod } from "../../packages/services/src/MongodProgram.ts"
import { probeMongod } from "../../packages/services/src/ReplicaSet.ts"
import { makeServerProcess } from "../../packages/services/src/ServerProcess.ts"
import { temporaryFolder } from "./appProcess.ts"

const silent: Report = () => Effect.void

/** Host and port of a mongod that is no replica set and asks for credentials, which nobody has. */
export const standaloneMongo = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const program = yield* findMongod(yield* MongoServer.config({ report: silent }))
  const server = makeServerProcess({
    service: "MongoDB",
    program,
    folder,
    port: Option.none(),
    arguments: (port, data) => [...flags({ port, bind_ip: "127.0.0.1", dbpath: data }), "--auth"],
    probe: probeMongod,
    startTimeout: "20 seconds",
    stopTimeout: "1 second",
    report: silent
  })
  yield* Effect.acquireRelease(server.start, () => Effect.ignore(server.stop))
  return `127.0.0.1:${server.port()}`
})
