import type { OutboxStore } from "@twinbox/outbox"
import type { ClientSession, Document } from "mongodb"
import type { LeaseRecord, MongoCollections, RelayRecord, SinkRecord } from "./MongoCollections.ts"
import { collections } from "./MongoIndexes.ts"

/** More than there are slots, members and sinks: everything comes with the first reply. */
const batchSize = 10_000

/** One part of the view; its records are told from those of others by `part`. */
const part = (name: string): Document => ({ $project: { _id: 0, part: name, record: "$$ROOT" } })

const partOf = (name: string, collection: string): Document => ({
  $unionWith: { coll: collection, pipeline: [part(name)] }
})

/** Every other type sorts before or after dates, and is not compared with one. */
const anyDate = { $gte: new Date(-8_640_000_000_000_000) }

/** The filter of scheduled messages, by the index, that makes `$$NOW` the only clock. */
export const due: Document = {
  state: "scheduled",
  availableAt: anyDate,
  $expr: { $lte: ["$availableAt", "$$NOW"] }
}

/**
 * Slots come before members: an owner that is seen in a slot and is no member afterwards has left, and not
 * just come.
 */
const pipeline: ReadonlyArray<Document> = [
  part("slot"),
  partOf("member", collections.relays),
  partOf("sink", collections.sinks),
  {
    $unionWith: { coll: collections.outbox, pipeline: [{ $match: due }, { $limit: 1 }, part("due")] }
  }
]

interface Part {
  readonly part: "slot" | "member" | "sink" | "due"
  readonly record: unknown
}

const toMember = ({ _id, counter, leaseMillis, leaving }: RelayRecord): OutboxStore.Member => ({
  owner: _id,
  counter,
  leaseMillis,
  leaving
})

export const toSlotState = ({ _id, changes, epoch, owner, suspect }: LeaseRecord): OutboxStore.SlotState => ({
  slot: _id,
  owner: owner ?? undefined,
  epoch,
  suspect,
  changes
})

export const toSink = ({ _id, isMirror, topics }: SinkRecord): OutboxStore.RegisteredSink => ({
  name: _id,
  topics,
  isMirror
})

/** Reads all that relays coordinate by, in one command. */
export const read = async (
  { leases }: MongoCollections,
  session?: ClientSession
): Promise<OutboxStore.View> => {
  const parts = await leases
    .aggregate<Part>([...pipeline], {
      batchSize,
      readConcern: { level: "majority" },
      ...(session === undefined ? {} : { session })
    })
    .toArray()
  const records = <A>(name: Part["part"]) =>
    parts.flatMap(({ part, record }) => (part === name ? [record as A] : []))
  return {
    members: records<RelayRecord>("member").map(toMember),
    slots: records<LeaseRecord>("slot")
      .map(toSlotState)
      .toSorted((a, b) => a.slot - b.slot),
    sinks: records<SinkRecord>("sink").map(toSink),
    isDue: records("due").length > 0
  }
}
