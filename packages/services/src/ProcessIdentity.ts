import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { Option, Schema } from "effect"

/**
 * Names one process for good: process ids are given out again, so the pid alone could name a stranger.
 * `startedAt` is opaque: boot id and start time from /proc on Linux, what `ps` prints elsewhere.
 */
export const ProcessIdentity = Schema.Struct({ pid: Schema.Int, startedAt: Schema.String })
export type ProcessIdentity = typeof ProcessIdentity.Type

const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()

const startedAtOnLinux = (pid: number): Option.Option<string> => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  // The program's name is in parentheses and may itself hold blanks and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const state = fields[0]
  const startTicks = fields[19]
  // A zombie has ended already; only its exit code is still waiting to be read.
  if (state === "Z" || state === "X" || startTicks === undefined) return Option.none()
  return Option.some(`${bootId()}:${startTicks}`)
}

const startedAtElsewhere = (pid: number): Option.Option<string> => {
  const line = execFileSync("ps", ["-o", "stat=,lstart=", "-p", String(pid)], { encoding: "utf8" }).trim()
  return line === "" || line.startsWith("Z") ? Option.none() : Option.some(line.replace(/^\S+\s+/, ""))
}

const startedAt = (pid: number): Option.Option<string> => {
  try {
    return process.platform === "linux" ? startedAtOnLinux(pid) : startedAtElsewhere(pid)
  } catch {
    return Option.none()
  }
}

/** The identity of a living process; none when no such process lives. */
export const identityOf = (pid: number): Option.Option<ProcessIdentity> =>
  Option.map(startedAt(pid), (startedAt) => ({ pid, startedAt }))

/** The identity of this process. */
export const ownIdentity = (): ProcessIdentity =>
  Option.getOrElse(identityOf(process.pid), () => ({ pid: process.pid, startedAt: "unknown" }))

/** Whether that very process still lives. */
export const isAlive = (identity: ProcessIdentity): boolean =>
  Option.exists(startedAt(identity.pid), (started) => started === identity.startedAt)

/** Sends a signal if that very process still lives; false when it does not. */
export const sendSignal = (identity: ProcessIdentity, signal: NodeJS.Signals): boolean => {
  if (!isAlive(identity)) return false
  try {
    return process.kill(identity.pid, signal)
  } catch {
    return false
  }
}
