import { mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { Effect } from "effect"
import { withFolderLock } from "./FolderLock.ts"
import { joinFolder, livingUsers } from "./FolderUsers.ts"
import { endProcess } from "./ProcessEnd.ts"
import { runningServers } from "./ServerRecord.ts"

const prefix = "twinbox-services-"
const draftPrefix = "twinbox-starting-"

/** A data folder used by this process. */
export interface JoinedFolder {
  readonly path: string
  readonly leave: () => void
}

/** Makes a folder for servers whose data goes away with them. It appears with its user in it, so no sweep takes it. */
export const makeTemporaryFolder = (): JoinedFolder => {
  const draft = mkdtempSync(join(tmpdir(), draftPrefix))
  joinFolder(draft)
  const path = join(tmpdir(), prefix + basename(draft).slice(draftPrefix.length))
  renameSync(draft, path)
  return { path, leave: () => rmSync(join(path, "users"), { recursive: true, force: true }) }
}

const sweepFolder = (folder: string): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    if (livingUsers(folder).length > 0) return false
    yield* Effect.forEach(runningServers(folder), (server) => endProcess(server, 0), {
      concurrency: "unbounded",
      discard: true
    })
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    return true
  }).pipe(
    withFolderLock(folder, 0),
    // Locked or gone: somebody else is at it. Not ours to remove: leave it.
    Effect.catchAllCause(() => Effect.succeed(false))
  )

/** Stops the servers that killed runs left in temporary folders, and removes these. Gives how many. */
export const sweepTemporaryFolders: Effect.Effect<number> = Effect.suspend(() => {
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith(prefix))
  return Effect.forEach(folders, (name) => sweepFolder(join(tmpdir(), name)), { concurrency: 4 })
}).pipe(
  Effect.map((swept) => swept.filter((removed) => removed).length),
  Effect.uninterruptible
)
