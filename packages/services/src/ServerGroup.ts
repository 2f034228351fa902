import { mkdirSync, rmSync } from "node:fs"
import { resolve } from "node:path"
import { Effect, Option, type Scope } from "effect"
import { type FolderLocked, withFolderLock } from "./FolderLock.ts"
import { joinFolder, livingUsers } from "./FolderUsers.ts"
import type { Report } from "./Report.ts"
import type { ServerProcess } from "./ServerProcess.ts"
import { ServiceError, type ServiceName } from "./ServiceError.ts"
import { type JoinedFolder, makeTemporaryFolder, sweepTemporaryFolders } from "./TemporaryFolders.ts"

/** Servers that live and die together on one data folder: the members of a replica set, one Redis, or one Kafka. */
export interface ServerGroup {
  readonly service: ServiceName
  /** Where data stays; none: a temporary folder that goes away at the end. */
  readonly dataFolder: Option.Option<string>
  readonly processes: (folder: string) => ReadonlyArray<ServerProcess>
  /** Runs when all processes answer, and makes one service of them. */
  readonly unite: (processes: ReadonlyArray<ServerProcess>) => Effect.Effect<void, ServiceError>
  readonly report: Report
}

/** How long to wait while another process starts or stops servers on the same data. */
const lockPatience = "90 seconds"

const openFolder = (group: ServerGroup): JoinedFolder => {
  if (Option.isNone(group.dataFolder)) return makeTemporaryFolder()
  const path = resolve(group.dataFolder.value)
  mkdirSync(path, { recursive: true })
  return { path, leave: joinFolder(path) }
}

const cannotUse = (group: ServerGroup, cause: unknown) =>
  new ServiceError({
    service: group.service,
    reason: "DidNotStart",
    message: `${group.service} cannot keep its data in ${Option.getOrElse(group.dataFolder, () => "the system's temporary folder")}: ${String(cause)}.`,
    retryable: false,
    cause
  })

const locked = (group: ServerGroup) => (error: FolderLocked) =>
  new ServiceError({
    service: group.service,
    reason: "InUse",
    message: `Another process has been starting or stopping ${group.service} in ${error.folder} for ${lockPatience}: end it, then start again.`,
    retryable: true,
    cause: error
  })

const isTemporary = (group: ServerGroup): boolean => Option.isNone(group.dataFolder)

const stopUnlessUsed = (group: ServerGroup, folder: JoinedFolder, processes: ReadonlyArray<ServerProcess>) =>
  Effect.gen(function* () {
    folder.leave()
    if (livingUsers(folder.path).length > 0) return
    // Data that is thrown away needs no clean end.
    const end = (process: ServerProcess) => (isTemporary(group) ? process.kill("SIGKILL") : process.stop)
    yield* Effect.forEach(processes, end, { concurrency: "unbounded", discard: true })
    // Whoever sweeps may be looking for its lock just now.
    if (isTemporary(group)) rmSync(folder.path, { recursive: true, force: true, maxRetries: 5 })
  }).pipe(
    withFolderLock(folder.path, "10 seconds"),
    Effect.catchAll((error) => group.report(`${group.service}: was not stopped cleanly: ${error.message}`))
  )

/** Stops the servers unless another living process uses them: then the last of these will. */
const closeGroup = (group: ServerGroup, folder: JoinedFolder, processes: ReadonlyArray<ServerProcess>) =>
  Effect.zipRight(
    // Somebody may have deleted the folder under the running servers: they are stopped all the same.
    Effect.sync(() => mkdirSync(folder.path, { recursive: true })),
    stopUnlessUsed(group, folder, processes)
  )

const sweep = (group: ServerGroup): Effect.Effect<void> =>
  Effect.flatMap(sweepTemporaryFolders, (count) =>
    count === 0
      ? Effect.void
      : group.report(
          `${group.service}: removed ${count} temporary server folder(s) left over from killed runs`
        )
  )

/**
 * Starts (or takes over) the servers of a group and unites them. At the end of the scope they are stopped,
 * unless another living process uses the same data folder.
 */
export const startGroup = (
  group: ServerGroup
): Effect.Effect<ReadonlyArray<ServerProcess>, ServiceError, Scope.Scope> =>
  Effect.gen(function* () {
    if (isTemporary(group)) yield* sweep(group)
    const opened = Effect.try({
      try: () => {
        const folder = openFolder(group)
        return { folder, processes: group.processes(folder.path) }
      },
      catch: (cause) => cannotUse(group, cause)
    })
    const { folder, processes } = yield* Effect.acquireRelease(opened, ({ folder, processes }) =>
      closeGroup(group, folder, processes)
    )
    const start = Effect.forEach(processes, (process) => process.start, {
      concurrency: "unbounded",
      discard: true
    })
    // Suspended: ports are known only once the processes run.
    const unite = Effect.suspend(() => group.unite(processes))
    yield* Effect.zipRight(start, unite).pipe(
      withFolderLock(folder.path, lockPatience),
      Effect.catchTag("FolderLocked", (error) => Effect.fail(locked(group)(error)))
    )
    return processes
  })
