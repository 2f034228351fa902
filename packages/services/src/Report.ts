import { Effect } from "effect"

/** Where progress lines go, for example "MongoDB: using mongod 6.0.5 from the cache". */
export type Report = (line: string) => Effect.Effect<void>

/** Progress as log lines. */
export const reportToLog: Report = (line) => Effect.logInfo(line)
