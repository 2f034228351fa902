import type { Binary, Collection, Db, WriteConcernSettings } from "mongodb"
import type { DeadRecord } from "./DeadRecord.ts"
import { collections } from "./MongoIndexes.ts"
import type { OutboxRecord } from "./OutboxRecord.ts"

/** A relay that takes part: its heartbeat document. */
export interface RelayRecord {
  readonly _id: string
  readonly counter: number
  readonly leaseMillis: number
  readonly leaving: boolean
  /** Rises with every fenced write, so that each one conflicts with the end of the membership. */
  readonly writes: number
  /** Id of the session that all fenced writes of the relay go through. */
  readonly session: Binary
}

/** Who owns a slot. */
export interface LeaseRecord {
  readonly _id: number
  readonly owner: string | null
  readonly epoch: number
  readonly suspect: boolean
  readonly changes: number
}

export interface SinkRecord {
  readonly _id: string
  readonly topics: ReadonlyArray<string>
  readonly isMirror: boolean
}

export interface SequenceRecord {
  readonly _id: string
  readonly sequence: number
}

/** A message that every sink has, kept for a replay until `expireAt`. */
export interface DeliveredRecord extends Omit<OutboxRecord, "state" | "behind" | "marks" | "history"> {
  readonly deliveredAt: Date
  readonly expireAt: Date
}

/** Where the records of a stream are stored, with their versions: the stream is the first part of their keys. */
export interface StreamRecord {
  readonly _id: string
  readonly collection: string
  readonly tombstones: string
}

export interface MongoCollections {
  readonly outbox: Collection<OutboxRecord>
  readonly dead: Collection<DeadRecord>
  readonly delivered: Collection<DeliveredRecord>
  readonly relays: Collection<RelayRecord>
  readonly leases: Collection<LeaseRecord>
  readonly sinks: Collection<SinkRecord>
  readonly sequences: Collection<SequenceRecord>
  readonly streams: Collection<StreamRecord>
}

export const make = (db: Db): MongoCollections => ({
  outbox: db.collection(collections.outbox),
  dead: db.collection(collections.dead),
  delivered: db.collection(collections.delivered),
  relays: db.collection(collections.relays),
  leases: db.collection(collections.leases),
  sinks: db.collection(collections.sinks),
  sequences: db.collection(collections.sequences),
  streams: db.collection(collections.streams)
})

/** What a new primary would not know has not been written. */
export const majority: { readonly writeConcern: WriteConcernSettings } = { writeConcern: { w: "majority" } }
