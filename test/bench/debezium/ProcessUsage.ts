import { readFile } from "node:fs/promises"
import { Effect } from "effect"
import { nowMillis } from "../RelayProtocol.ts"

/** What a process has used so far. */
export interface Usage {
  readonly atMillis: number
  /** User and system time. */
  readonly cpuMillis: number
  readonly rssBytes: number
  /** The most that it ever was. */
  readonly peakRssBytes: number
}

/** Of the clock of /proc; the same on all that Linux runs on: man 5 proc_pid_stat. */
const ticksPerSecond = 100

const kibibytesOf = (status: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1])

/** Reads what Linux says of a process. */
export const usageOf = (pid: number): Effect.Effect<Usage> =>
  Effect.promise(async () => {
    const status = await readFile(`/proc/${pid}/status`, "utf8")
    const stat = await readFile(`/proc/${pid}/stat`, "utf8")
    // The name of the program, in parentheses, can hold anything. User and system time are the 14th and 15th field.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return {
      atMillis: nowMillis(),
      cpuMillis: ((Number(fields[11]) + Number(fields[12])) * 1_000) / ticksPerSecond,
      rssBytes: kibibytesOf(status, "VmRSS") * 1_024,
      peakRssBytes: kibibytesOf(status, "VmHWM") * 1_024
    }
  })
