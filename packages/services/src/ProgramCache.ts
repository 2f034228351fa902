import { chmod, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { Effect, Schedule } from "effect"
import { withFolderLock } from "./FolderLock.ts"
import { DownloadFailed, type ProgramDownload } from "./ProgramDownload.ts"
import type { VersionCheck } from "./ProgramVersion.ts"
import type { Report } from "./Report.ts"
import type { ServiceName } from "./ServiceError.ts"

/** A program that runs, and its version. */
export interface CachedProgram {
  readonly path: string
  readonly version: string
}

interface CacheRequest {
  readonly service: ServiceName
  readonly cacheFolder: string
  readonly versionOf: VersionCheck
  readonly report: Report
}

const fileStep = <A>(step: () => Promise<A>): Effect.Effect<A, DownloadFailed> =>
  Effect.tryPromise({ try: step, catch: (error) => new DownloadFailed({ message: String(error) }) })

const programFile = "program"

const lookUp = (request: CacheRequest, entry: string) =>
  Effect.suspend(() => {
    const path = join(entry, programFile)
    return Effect.map(request.versionOf(path), (version): CachedProgram => ({
      path,
      version
    }))
  })

/** Everything partial belongs to somebody who died: who is alive holds the lock. */
const removePartial = async (folder: string): Promise<void> => {
  const left = (await readdir(folder)).filter((name) => name.startsWith("partial-"))
  await Promise.all(left.map((name) => rm(join(folder, name), { recursive: true, force: true })))
}

const stillThere = (request: CacheRequest, download: ProgramDownload) =>
  request
    .report(`${request.service}: still downloading ${download.label} ...`)
    .pipe(Effect.delay("5 seconds"), Effect.repeat(Schedule.forever))

const fetchInto = (request: CacheRequest, download: ProgramDownload, folder: string, entry: string) =>
  Effect.gen(function* () {
    yield* request.report(`${request.service}: downloading ${download.label} ...`)
    const partial = yield* fileStep(() => mkdtemp(join(folder, "partial-")))
    const target = join(partial, programFile)
    yield* Effect.raceFirst(download.fetch(partial, target), stillThere(request, download))
    yield* fileStep(() => chmod(target, 0o755))
    const version = yield* Effect.mapError(
      request.versionOf(target),
      (error) => new DownloadFailed({ message: error.message })
    )
    // What is there under this name does not run, or we would not be here.
    yield* fileStep(() => rm(entry, { recursive: true, force: true }))
    yield* fileStep(() => rename(partial, entry))
    return { path: join(entry, programFile), version }
  })

/**
 * A downloaded program from the cache folder, fetched when it is not there yet. Processes that need it at
 * once fetch it once: the others wait. What appears in the cache is complete and has been run.
 */
export const cachedProgram = (
  request: CacheRequest,
  download: ProgramDownload
): Effect.Effect<CachedProgram, DownloadFailed> => {
  const folder = join(request.cacheFolder, download.cacheKey)
  const entry = join(folder, "current")
  const fetchOnce = Effect.orElse(lookUp(request, entry), () =>
    Effect.zipRight(
      fileStep(() => removePartial(folder)),
      fetchInto(request, download, folder, entry)
    )
  ).pipe(
    withFolderLock(folder, "10 minutes"),
    Effect.catchTag("FolderLocked", () =>
      Effect.fail(new DownloadFailed({ message: `another process has been downloading into ${folder}` }))
    )
  )
  return Effect.orElse(lookUp(request, entry), () =>
    Effect.zipRight(
      fileStep(() => mkdir(folder, { recursive: true })),
      fetchOnce
    )
  )
}
