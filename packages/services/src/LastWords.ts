import { type FileHandle, open } from "node:fs/promises"
import { Effect } from "effect"

const tailBytes = 16 * 1024

const readTail = async (file: FileHandle): Promise<string> => {
  const { size } = await file.stat()
  const bytes = Math.min(size, tailBytes)
  return (await file.read(Buffer.alloc(bytes), 0, bytes, size - bytes)).buffer.toString("utf8")
}

/** The end of a server's log; empty when there is none. */
export const logTail = (path: string): Effect.Effect<string> =>
  Effect.promise(async () => {
    try {
      const file = await open(path, "r")
      try {
        return await readTail(file)
      } finally {
        await file.close()
      }
    } catch {
      return ""
    }
  })

const mongodComplaint = (line: string): string | undefined => {
  const told = /"s":"[EF]".*?"msg":"([^"]+)"(?:.*?"error(?:Message)?":"?([^"]+))?/.exec(line)
  if (told === null) return undefined
  return told[2] === undefined ? told[1] : `${told[1]}: ${told[2]}`
}

const redisComplaint = (line: string): string | undefined =>
  /^\d+:\w \d+ \w+ \d+ [\d:.]+ # (.+)$/.exec(line)?.[1] ?? /^\*\*\* (FATAL.+)$/.exec(line)?.[1]

const kafkaComplaint = (line: string): string | undefined =>
  /^\[[-\d]+ [\d:,]+\] (?:ERROR|FATAL) (.+)$/.exec(line)?.[1] ??
  /^(?:Caused by: )?(?:\w+\.)+(\w+(?:Exception|Error): .+)$/.exec(line)?.[1]

const usageComplaint = (line: string): string | undefined => /^(Error .+)$/.exec(line)?.[1]

/** What a server complained about last, for an error message; or its last line. */
export const lastWords = (log: string): string => {
  const lines = log.trim().split("\n")
  const complaints = lines.flatMap(
    (line) =>
      mongodComplaint(line) ?? redisComplaint(line) ?? kafkaComplaint(line) ?? usageComplaint(line) ?? []
  )
  return (complaints.at(-1) ?? lines.at(-1) ?? "").slice(0, 300)
}
