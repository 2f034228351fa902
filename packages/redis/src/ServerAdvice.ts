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

/**
 * What in the settings of a server would make it lose writes that it has accepted and MongoDB has not; sentences for
 * the log. `appendfsync` is the setting of that name, empty when it is not known.
 */
export const outboxAdviceOn = (info: string, appendfsync: string): ReadonlyArray<string> => {
  if (fieldOf(info, "aof_enabled") === "0") {
    return [
      "Redis keeps no append-only file, so that a restart loses the writes it took since its last snapshot, " +
        "also those that MongoDB does not have yet: set appendonly yes, and appendfsync always where not even " +
        "the last second may go"
    ]
  }
  return appendfsync === "no"
    ? ["Redis leaves it to the system when writes reach the disk: set appendfsync everysec, or always"]
    : []
}
