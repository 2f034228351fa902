/*
 * Names of the keys of Redis. Those of one export begin with its id. The names of segments and lists are put together
 * in the scripts, and a call changes keys of several kinds: that is why Redis Cluster is not supported.
 */

export const status = (id: string): string => id

export const metadata = (id: string): string => `${id}-meta`

/** Data is cut into segments, since Redis has no value over 512 MB. */
export const segment = (id: string, index: number): string =>
  index === 0 ? `${id}-data` : `${id}-data-${index}`

/** Live records that wait for the process that writes the export. */
export const waiting = (id: string): string => `${id}-live`

/** All exports, by the time at which they expire. */
export const all = "exports"

export const ofOwner = (owner: string): string => `exports:${owner}`

/** Running exports, by the time at which their heartbeat ends. */
export const running = "exports-running"

/** Running exports that take the live records of a topic. */
export const subscribers = (topic: string): string => `exports-live:${topic}`
