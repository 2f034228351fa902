import { Key } from "@twinbox/outbox"

/** Names of the Redis keys of one mirror. */
export interface MirrorKeys {
  /** What stands before the colon of the name of a record's hash. */
  readonly prefix: (key: Key.Key) => string
  /** Hash of a record: `customer/42` becomes `customer:42`. */
  readonly data: (key: Key.Key) => string
  /** Tombstone of a record, given the name of its hash: `tombstone:{customer:42}`. */
  readonly tombstone: (dataKey: string) => string
}

/** Whether Redis Cluster takes only a part of this name to choose its slot: what the first braces hold, if anything. */
const hasHashTag = (name: string): boolean => /^[^{]*\{[^}]+\}/.test(name)

/** In the cluster slot of the hash: the braces tell Redis Cluster which part of a name chooses the slot. */
export const tombstone = (dataKey: string): string =>
  hasHashTag(dataKey) ? `tombstone:${dataKey}` : `tombstone:{${dataKey}}`

/** @param prefixOf what stands before the colon, by the stream of a key */
export const make = (prefixOf: (stream: string) => string): MirrorKeys => {
  const prefix = (key: Key.Key) => prefixOf(Key.streamOf(key))
  return { prefix, data: (key) => `${prefix(key)}:${Key.idOf(key)}`, tombstone }
}

/** Marker of a mirror: there as long as nothing given to the mirror has been lost. */
export const marker = (name: string): string => `twinbox:mirror:${name}`
