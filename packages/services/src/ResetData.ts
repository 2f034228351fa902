import { existsSync, readdirSync, rmSync } from "node:fs"
import { join, resolve } from "node:path"
import { Effect } from "effect"
import { withFolderLock } from "./FolderLock.ts"
import { livingUsers } from "./FolderUsers.ts"
import { endProcess } from "./ProcessEnd.ts"
import { holdsServers, runningServers } from "./ServerRecord.ts"
import { ServiceError, type ServiceName } from "./ServiceError.ts"

const serviceOf = (folder: string): ServiceName =>
  /redis/i.test(folder) ? "Redis" : /kafka/i.test(folder) ? "Kafka" : "MongoDB"

/** The folders of servers under a data folder, itself included. */
const serverHomes = (dataFolder: string): ReadonlyArray<string> =>
  [dataFolder, ...readdirSync(dataFolder).map((name) => join(dataFolder, name))].filter(holdsServers)

const failed = (folder: string, reason: "InUse" | "StopFailed", message: string) =>
  new ServiceError({ service: serviceOf(folder), reason, message, retryable: true })

const refuseWhenUsed = (folder: string): Effect.Effect<void, ServiceError> =>
  Effect.suspend(() => {
    const [user] = livingUsers(folder)
    if (user === undefined) return Effect.void
    const message = `An app (process ${user.pid}) is running on ${folder}: stop it, then run this again.`
    return failed(folder, "InUse", message)
  })

const stopLeftOver = (folder: string) =>
  Effect.forEach(runningServers(folder), (server) =>
    Effect.filterOrFail(
      endProcess(server, "5 seconds"),
      (ended) => ended,
      () =>
        failed(folder, "StopFailed", `Process ${server.pid} on ${folder} could not be ended: end it by hand.`)
    )
  )

const clearHome = (folder: string): Effect.Effect<void, ServiceError> =>
  refuseWhenUsed(folder).pipe(
    Effect.zipRight(stopLeftOver(folder)),
    withFolderLock(folder, "10 seconds"),
    Effect.catchTag("FolderLocked", () =>
      failed(
        folder,
        "InUse",
        `An app is just starting or stopping on ${folder}: stop it, then run this again.`
      )
    ),
    Effect.asVoid
  )

/**
 * Deletes a data folder with all that is in it, after stopping servers that killed runs left on it. Refuses
 * with `InUse`, and deletes nothing, while an app runs on it. Gives whether there was anything to delete.
 */
export const resetData = (dataFolder: string): Effect.Effect<boolean, ServiceError> =>
  Effect.gen(function* () {
    const folder = resolve(dataFolder)
    if (!existsSync(folder)) return false
    const homes = serverHomes(folder)
    yield* Effect.forEach(homes, refuseWhenUsed)
    yield* Effect.forEach(homes, clearHome)
    rmSync(folder, { recursive: true, force: true })
    return true
  })
