import { constants } from "node:fs"
import { access } from "node:fs/promises"
import { delimiter, join } from "node:path"
import { Effect, Option } from "effect"
import { cachedProgram } from "./ProgramCache.ts"
import type { ProgramDownload } from "./ProgramDownload.ts"
import type { VersionCheck } from "./ProgramVersion.ts"
import type { Report } from "./Report.ts"
import { ServiceError, type ServiceName } from "./ServiceError.ts"

/** Where to look for server programs. Read from the environment by `ServiceConfig`. */
export interface ProgramSearch {
  /** A program to use whatever else there is (`MONGOMS_SYSTEM_BINARY`). */
  readonly program: Option.Option<string>
  /** Folders with programs, as PATH writes them. */
  readonly searchPath: string
  /** Where downloads are kept. */
  readonly cacheFolder: string
}

/** A server program that runs on this machine. */
export interface ServerProgram {
  readonly path: string
  readonly version: string
  readonly origin: "machine" | "download"
}

export interface ProgramRequest extends ProgramSearch {
  readonly service: ServiceName
  readonly name: string
  readonly versionOf: VersionCheck
  readonly downloads: ReadonlyArray<ProgramDownload>
  readonly report: Report
  /** What a person can do, as the end of a sentence. */
  readonly advice: string
}

const isProgram = (path: string): Effect.Effect<boolean> =>
  Effect.promise(() =>
    access(path, constants.X_OK).then(
      () => true,
      () => false
    )
  )

const explicitProgram = (request: ProgramRequest, path: string) =>
  Effect.mapBoth(request.versionOf(path), {
    onSuccess: (version): ServerProgram => ({ path, version, origin: "machine" }),
    onFailure: (cause) =>
      new ServiceError({
        service: request.service,
        reason: "NotFound",
        message: `The ${request.name} that MONGOMS_SYSTEM_BINARY names cannot be used: ${cause.message}.`,
        retryable: false,
        cause
      })
  })

/** The first usable one on the PATH. One that cannot be used is reported and passed over. */
const programOnPath = (request: ProgramRequest): Effect.Effect<Option.Option<ServerProgram>> =>
  Effect.gen(function* () {
    for (const folder of request.searchPath.split(delimiter).filter((folder) => folder !== "")) {
      const path = join(folder, request.name)
      if (!(yield* isProgram(path))) continue
      const found = yield* Effect.either(request.versionOf(path))
      if (found._tag === "Right") return Option.some({ path, version: found.right, origin: "machine" })
      yield* request.report(`${request.service}: passing over a program: ${found.left.message}`)
    }
    return Option.none()
  })

const downloadedProgram = (request: ProgramRequest): Effect.Effect<ServerProgram, ServiceError> =>
  Effect.gen(function* () {
    const failures: Array<string> = []
    for (const download of request.downloads.filter((download) => download.fitsMachine)) {
      const outcome = yield* Effect.either(cachedProgram(request, download))
      if (outcome._tag === "Right") return { ...outcome.right, origin: "download" }
      failures.push(outcome.left.message)
      yield* request.report(`${request.service}: no ${download.label}: ${outcome.left.message}`)
    }
    const tried = failures.length > 0
    return yield* new ServiceError({
      service: request.service,
      reason: tried ? "DownloadFailed" : "NotFound",
      message: `There is no ${request.name} on this machine and ${tried ? `none could be downloaded (${failures.join("; ")})` : "no download fits it"}: ${request.advice}.`,
      retryable: tried
    })
  })

/** Finds or fetches a server program: the named one, then the PATH, then the downloads in their order. */
export const findProgram = (request: ProgramRequest): Effect.Effect<ServerProgram, ServiceError> =>
  Effect.gen(function* () {
    if (Option.isSome(request.program)) return yield* explicitProgram(request, request.program.value)
    const onPath = yield* programOnPath(request)
    return Option.isSome(onPath) ? onPath.value : yield* downloadedProgram(request)
  }).pipe(
    Effect.tap((program) => {
      const place = program.origin === "machine" ? program.path : "the cache"
      return request.report(`${request.service}: using ${request.name} ${program.version} from ${place}`)
    })
  )
