import { copyFile, chmod, rm } from "node:fs/promises"
import { createRequire } from "node:module"
import { join } from "node:path"
import { Effect } from "effect"
import { DownloadFailed, type ProgramDownload } from "./ProgramDownload.ts"
import { runCommand } from "./RunCommand.ts"

const packageName = "mongodb-memory-server-core"

// In a process of its own the download can be killed (its promise cannot be cancelled), and what it prints
// does not mix with progress lines.
const script = `
  const { MongoBinary } = require(process.argv[1])
  MongoBinary.getPath({ downloadDir: process.argv[2] }).then(
    (path) => process.stdout.write("\\n" + path),
    (error) => { process.stderr.write(String(error.message).split("\\n")[0]); process.exitCode = 1 }
  )`

const fetchMongod = async (path: string, target: string, folder: string): Promise<void> => {
  await copyFile(path, target)
  await chmod(target, 0o755)
  await rm(folder, { recursive: true, force: true })
}

/** MongoDB's own release for this machine, found and fetched by mongodb-memory-server. */
export const memoryServerDownload: ProgramDownload = {
  label: "MongoDB's release for this machine",
  cacheKey: "mongod-memory-server-11.3.0",
  fitsMachine: true,
  fetch: (folder, target) => {
    const downloadFolder = join(folder, "download")
    const entry = createRequire(import.meta.url).resolve(packageName)
    return runCommand(process.execPath, ["-e", script, entry, downloadFolder], { limit: "10 minutes" }).pipe(
      Effect.mapError((error) => new DownloadFailed({ message: error.message })),
      Effect.map((output) => output.trim().split("\n").at(-1) ?? ""),
      Effect.flatMap((path) =>
        Effect.tryPromise({
          try: () => fetchMongod(path, target, downloadFolder),
          catch: (error) => new DownloadFailed({ message: String(error) })
        })
      )
    )
  }
}
