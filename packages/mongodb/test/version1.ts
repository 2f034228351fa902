import type { MongoDatabase } from "@twinbox/mongodb"
import { type Message, Slot } from "@twinbox/outbox"
import { Effect } from "effect"
import type { Db, Document } from "mongodb"

type Database = MongoDatabase.MongoDatabase["Type"]

interface Contents {
  readonly ready: Message.Message
  readonly behind: Message.Message
  readonly dead: Message.Message
  /** A slot that its relay did not give back. */
  readonly unclean: number
}

const place = { slot: 1, key: 1, sequence: 1, ordinal: 1 }

const outboxRecord = ({ createdAt, id, ...message }: Message.Message, fields: Document) => ({
  ...message,
  _id: id,
  createdAt: new Date(createdAt),
  ...fields
})

const sentinel = (slot: number) => ({
  _id: `sentinel/${slot}`,
  slot,
  key: "",
  sequence: 0,
  ordinal: 0,
  topic: "",
  payload: null,
  headers: {},
  createdAt: new Date(0),
  state: "ready"
})

const deadRecord = (message: Message.Message) => ({
  _id: `${message.id}:mirror`,
  messageId: message.id,
  slot: message.slot,
  sink: "mirror",
  key: message.key,
  topic: message.topic,
  sequence: message.sequence,
  reason: "Rejected",
  error: "refused by a test",
  attempts: 3,
  blocks: true,
  at: new Date(1_767_225_600_000),
  record: outboxRecord(message, { state: "ready" })
})

/** Validators and indexes as version 1 made them. */
const prepare = async (db: Db) => {
  await db.createCollection("outbox", {
    validator: {
      $jsonSchema: {
        bsonType: "object",
        required: ["slot", "key", "sequence", "ordinal", "topic", "payload", "headers", "createdAt", "state"],
        properties: {
          state: { enum: ["ready", "behind"] },
          behind: { bsonType: "array", items: { bsonType: "string" } }
        }
      }
    }
  })
  await db.createCollection("outbox_leases", {
    validator: {
      $jsonSchema: {
        bsonType: "object",
        required: ["owner", "epoch"],
        properties: { owner: { bsonType: ["string", "null"] }, epoch: { bsonType: "number", minimum: 0 } }
      }
    }
  })
  await db.collection("outbox").createIndexes([
    { name: "ready", key: place, unique: true, partialFilterExpression: { state: "ready" } },
    { name: "behind", key: { behind: 1, ...place }, partialFilterExpression: { state: "behind" } }
  ])
  await db
    .collection("outbox_dead")
    .createIndexes([{ name: "sink_slot_key", key: { sink: 1, slot: 1, key: 1 } }])
}

/** Makes a database as version 1 left it. */
export const writeVersion1 = ({ db }: Database, { behind, dead, ready, unclean }: Contents) =>
  Effect.promise(async () => {
    await prepare(db)
    const insert = (name: string, documents: ReadonlyArray<{ _id: string | number }>) =>
      db.collection<{ _id: string | number }>(name).insertMany([...documents])
    await insert("outbox", [
      ...Slot.all.map(sentinel),
      outboxRecord(ready, { state: "ready" }),
      outboxRecord(behind, { state: "behind", behind: ["mirror"] })
    ])
    await insert("outbox_dead", [deadRecord(dead)])
    await insert("outbox_sinks", [{ _id: "mirror", topics: ["a"] } as { _id: string }])
    await insert(
      "outbox_leases",
      Slot.all.map((slot) =>
        slot === unclean
          ? { _id: slot, owner: "relay-of-version-1", epoch: 41, clean: false, writes: 7 }
          : { _id: slot, owner: null, epoch: 0, clean: true }
      )
    )
    await insert("twinbox_schema", [{ _id: "outbox", version: 1 } as { _id: string }])
  })

/** Lease documents that still have a field of version 1, or lack one of version 2. */
export const readVersion1 = ({ db }: Database) =>
  Effect.promise(() =>
    db
      .collection("outbox_leases")
      .find({
        $or: [
          { clean: { $exists: true } },
          { writes: { $exists: true } },
          { suspect: { $not: { $type: "bool" } } },
          { changes: { $not: { $type: "number" } } }
        ]
      })
      .toArray()
  )
