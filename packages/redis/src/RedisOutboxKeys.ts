import { createHash } from "node:crypto"
import * as MirrorKeys from "./MirrorKeys.ts"

/** Names of the Redis keys of the records of one stream and of what is written to them. */
export interface RedisOutboxKeys {
  /** `customer_v2`. */
  readonly prefix: string
  /** Hash of a record. */
  readonly data: (id: string) => string
  readonly tombstone: (id: string) => string
  /** Sorted set of the ids of all records that show. */
  readonly ids: string
  /** Sorted set of value and id of each record, by the name of an index. */
  readonly index: (name: string) => string
  /** Stream of the writes that MongoDB has not decided on. */
  readonly log: string
  /** Stream of the writes that were refused. */
  readonly refused: string
  /** Who reads the log just now. */
  readonly lock: string
  /** What became of the write with an idempotency key; the key itself may say something about a person. */
  readonly idempotency: (key: string) => string
}

/** What stands before the colon of a hash's name, for a stream. */
export const defaultPrefix = (stream: string): string => `${stream}_v2`

/** Sorted set of the ids of all records with a prefix. */
export const ids = (prefix: string): string => `ids:{${prefix}}`

export const make = (prefix: string): RedisOutboxKeys => {
  const data = (id: string) => `${prefix}:${id}`
  return {
    prefix,
    data,
    tombstone: (id) => MirrorKeys.tombstone(data(id)),
    ids: ids(prefix),
    index: (name) => `index:${name}:{${prefix}}`,
    log: `writes:{${prefix}}`,
    refused: `refused:{${prefix}}`,
    lock: `reader:{${prefix}}`,
    idempotency: (key) => `idempotency:{${prefix}}:${createHash("sha256").update(key).digest("hex")}`
  }
}
