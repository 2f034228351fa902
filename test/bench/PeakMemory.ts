import { readFile, writeFile } from "node:fs/promises"
import { Effect } from "effect"

/* The peak of this process's memory, as Linux counts it: https://docs.kernel.org/filesystems/proc.html */

/** Lets the system forget the peak so far. */
export const forget = Effect.promise(() => writeFile("/proc/self/clear_refs", "5"))

/** Most memory that this process has had at once, shared libraries and code included. */
export const bytes = Effect.promise(async () => {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile("/proc/self/status", "utf8"))?.[1]
  return Number(kibibytes) * 1_024
})
