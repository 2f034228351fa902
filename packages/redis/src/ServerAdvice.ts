/** Value of a field of the answer to INFO: https://redis.io/docs/latest/commands/info/ */
const fieldOf = (info: string, name: string): string | undefined =>
  new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1]

/** What in the settings of a server would make a mirror lose data; sentences for the log. */
export const adviceOn = (info: string): ReadonlyArray<string> => {
  const advice: Array<string> = []
  const policy = fieldOf(info, "maxmemory_policy")
  if (policy !== undefined && policy !== "noeviction" && fieldOf(info, "maxmemory") !== "0") {
    advice.push(`Redis deletes keys when its memory is full (maxmemory-policy ${policy}): set noeviction`)
  }
  if (fieldOf(info, "aof_enabled") === "0") {
    advice.push("Redis keeps no append-only file, so that a restart loses the mirror: set appendonly yes")
  }
  return advice
}
