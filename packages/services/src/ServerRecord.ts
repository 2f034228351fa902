import { readdirSync } from "node:fs"
import { join } from "node:path"
import { Option, Schema } from "effect"
import { readJson, writeJson } from "./JsonFile.ts"
import { isAlive, ProcessIdentity } from "./ProcessIdentity.ts"

/**
 * What a server's folder remembers about it in `server.json`: the port to use again, and which process was
 * started there last, so that one left over from a killed run is recognised.
 */
export const ServerRecord = Schema.Struct({
  port: Schema.Int,
  program: Schema.String,
  version: Schema.String,
  process: Schema.NullOr(ProcessIdentity)
})
export type ServerRecord = typeof ServerRecord.Type

const file = (serverFolder: string): string => join(serverFolder, "server.json")

export const readServerRecord = (serverFolder: string): Option.Option<ServerRecord> =>
  readJson(ServerRecord, file(serverFolder))

export const writeServerRecord = (serverFolder: string, record: ServerRecord): void =>
  writeJson(ServerRecord, file(serverFolder), record)

/** The folder of the n-th server (from 0) under a data folder. */
export const serverFolder = (dataFolder: string, index: number): string => join(dataFolder, `server-${index}`)

const serverFolders = (dataFolder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(dataFolder)
      .filter((name) => /^server-\d+$/.test(name))
      .map((name) => join(dataFolder, name))
  } catch {
    return []
  }
}

/** Whether servers of this package have ever kept data in a folder. */
export const holdsServers = (dataFolder: string): boolean => serverFolders(dataFolder).length > 0

/** The processes of a data folder that still run. */
export const runningServers = (dataFolder: string): ReadonlyArray<ProcessIdentity> =>
  serverFolders(dataFolder).flatMap((folder) =>
    readServerRecord(folder).pipe(
      Option.flatMap((record) => Option.fromNullable(record.process)),
      Option.filter(isAlive),
      Option.toArray
    )
  )
