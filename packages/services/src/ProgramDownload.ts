import { Data, type Effect } from "effect"

/** A download did not give a program. `message` is the short reason, to be put into a sentence. */
export class DownloadFailed extends Data.TaggedError("DownloadFailed")<{ readonly message: string }> {}

/** One way to get a server program from elsewhere. */
export interface ProgramDownload {
  /** Names what is fetched, with its size, for people: "mongod 6.0.5 (42 MB)". */
  readonly label: string
  /** Folder name in the cache; changes with the version. */
  readonly cacheKey: string
  /** Whether it can run on this machine at all. */
  readonly fitsMachine: boolean
  /** Fetches into an empty folder and puts the program at `target`. Interruption ends the download. */
  readonly fetch: (folder: string, target: string) => Effect.Effect<void, DownloadFailed>
}
