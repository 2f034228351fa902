import { Backoff, Slot } from "@twinbox/outbox"
import { Effect, Schedule } from "effect"
import type { Db, Document, IndexDescription } from "mongodb"
import * as MongoCall from "./MongoCall.ts"
import { MongoDatabase } from "./MongoDatabase.ts"
import type * as MongoError from "./MongoError.ts"
import * as OutboxRecord from "./OutboxRecord.ts"

/** Names of the outbox's collections. */
export const collections = {
  outbox: "outbox",
  dead: "outbox_dead",
  delivered: "outbox_delivered",
  relays: "outbox_relays",
  leases: "outbox_leases",
  sinks: "outbox_sinks",
  sequences: "outbox_sequences",
  streams: "outbox_streams",
  schema: "twinbox_schema"
} as const

/** Names of the indexes that reads ask for by hint. */
export const indexNames = {
  ready: "ready",
  behind: "behind",
  scheduled: "scheduled",
  deadByKey: "sink_slot_key",
  deadByAge: "at",
  deliveredByPlace: "key_sequence_ordinal",
  deliveredByAge: "deliveredAt",
  deliveredExpiry: "expireAt"
} as const

/** Raised whenever indexes, validators or sentinels change. */
export const version = 3

const place = { slot: 1, key: 1, sequence: 1, ordinal: 1 } as const

/**
 * The index of ready messages is partial: nobody reads over what is behind. It is unique, so that two
 * writers can never both have the same place.
 */
const indexes: Readonly<Record<string, ReadonlyArray<IndexDescription>>> = {
  [collections.outbox]: [
    { name: indexNames.ready, key: place, unique: true, partialFilterExpression: { state: "ready" } },
    { name: indexNames.behind, key: { behind: 1, ...place }, partialFilterExpression: { state: "behind" } },
    {
      name: indexNames.scheduled,
      key: { availableAt: 1, slot: 1 },
      partialFilterExpression: { state: "scheduled" }
    }
  ],
  [collections.dead]: [
    { name: indexNames.deadByKey, key: { sink: 1, slot: 1, key: 1 } },
    { name: indexNames.deadByAge, key: { at: 1, _id: 1 } }
  ],
  [collections.delivered]: [
    { name: indexNames.deliveredByPlace, key: { key: 1, sequence: 1, ordinal: 1 } },
    { name: indexNames.deliveredByAge, key: { deliveredAt: 1 } },
    { name: indexNames.deliveredExpiry, key: { expireAt: 1 }, expireAfterSeconds: 0 }
  ]
}

const validators: Readonly<Record<string, Document>> = {
  [collections.outbox]: {
    $jsonSchema: {
      bsonType: "object",
      required: ["slot", "key", "sequence", "ordinal", "topic", "payload", "headers", "createdAt", "state"],
      properties: {
        _id: { bsonType: "string" },
        slot: { bsonType: "int", minimum: 0, maximum: Slot.count - 1 },
        key: { bsonType: "string" },
        sequence: { bsonType: "number", minimum: 0 },
        ordinal: { bsonType: "number", minimum: 0 },
        topic: { bsonType: "string" },
        payload: { bsonType: ["string", "null"] },
        headers: { bsonType: "object" },
        createdAt: { bsonType: "date" },
        availableAt: { bsonType: "date" },
        state: { enum: ["ready", "behind", "scheduled"] },
        behind: { bsonType: "array", items: { bsonType: "string" } },
        marks: { bsonType: "object" },
        history: { bsonType: "array", items: { bsonType: "object", required: ["at", "reason", "error"] } }
      }
    }
  },
  [collections.leases]: {
    $jsonSchema: {
      bsonType: "object",
      required: ["owner", "epoch", "suspect", "changes"],
      properties: {
        owner: { bsonType: ["string", "null"] },
        epoch: { bsonType: "number", minimum: 0 },
        suspect: { bsonType: "bool" },
        changes: { bsonType: "number", minimum: 0 }
      }
    }
  }
}

const namespaceExists = 48

const backgroundOperationInProgress = 12_587

/** Another process builds an index just now, and until it has, nothing else may be changed about the collection. */
const isBuilding = (error: MongoError.MongoError): boolean =>
  error._tag === "Refused" && error.code === backgroundOperationInProgress

const whileBuilding = Backoff.between("50 millis", "1 second").pipe(Schedule.upTo("1 minute"))

/** Creates what is missing of these collections. Transactions are slower and can collide when they have to create them. */
export const ensureCollections = (names: ReadonlyArray<string>) =>
  Effect.flatMap(MongoDatabase, ({ db }) =>
    Effect.forEach(
      names,
      (name) =>
        MongoCall.attempt(() => db.createCollection(name)).pipe(
          Effect.catchIf(
            (error) => error._tag === "Refused" && error.code === namespaceExists,
            () => Effect.void
          )
        ),
      { discard: true }
    )
  )

const ensureValidators = (db: Db) =>
  Effect.forEach(
    Object.entries(validators),
    ([name, validator]) =>
      MongoCall.attempt(() => db.command({ collMod: name, validator, validationLevel: "strict" })),
    { discard: true }
  )

const ensureIndexes = (db: Db) =>
  Effect.forEach(
    Object.entries(indexes),
    ([name, wanted]) => MongoCall.attempt(() => db.collection(name).createIndexes([...wanted])),
    { discard: true }
  )

/** Inserts those documents whose `_id` is not there yet. */
const ensureDocuments = (db: Db, name: string, documents: ReadonlyArray<{ readonly _id: string | number }>) =>
  MongoCall.attempt(() =>
    db.collection<{ _id: string | number }>(name).bulkWrite(
      documents.map((document) => ({
        updateOne: {
          filter: { _id: document._id },
          update: { $setOnInsert: withoutId(document) },
          upsert: true
        }
      })),
      { ordered: false }
    )
  )

const withoutId = ({ _id, ...rest }: { readonly _id: string | number }): Document => rest

/** Those of earlier versions, whose places the ones of this version take. Their relays must have stopped. */
const removeFormerSentinels = (db: Db) =>
  MongoCall.attempt(() =>
    db
      .collection<{ _id: string }>(collections.outbox)
      .deleteMany({ _id: { $in: Slot.all.map((slot) => `sentinel/${slot}`) } })
  )

/**
 * Gives what version 1 left the fields of version 2. What is that far already is left alone. Relays of version 1 must
 * have stopped; a slot that one of them did not give back has an owner that is no member, and is claimed as suspect.
 */
const upgradeDocuments = (db: Db) =>
  Effect.all(
    [
      MongoCall.attempt(() =>
        db
          .collection(collections.leases)
          .updateMany(
            { suspect: { $exists: false } },
            { $set: { suspect: false, changes: 0 }, $unset: { clean: "", writes: "" } }
          )
      ),
      MongoCall.attempt(() =>
        db
          .collection(collections.sinks)
          .updateMany({ isMirror: { $exists: false } }, { $set: { isMirror: false } })
      ),
      MongoCall.attempt(() =>
        db.collection(collections.dead).updateMany({ history: { $exists: false } }, { $set: { history: [] } })
      )
    ],
    { discard: true }
  )

const storedVersion = (db: Db) =>
  MongoCall.attempt(() =>
    db.collection<{ _id: string; version: number }>(collections.schema).findOne({ _id: "outbox" })
  ).pipe(Effect.map((document) => document?.version ?? 0))

const storeVersion = (db: Db) =>
  MongoCall.attempt(() =>
    db
      .collection<{ _id: string; version: number }>(collections.schema)
      .updateOne({ _id: "outbox" }, { $set: { version } }, { upsert: true })
  )

/**
 * Makes the outbox's collections, indexes, validators, sentinels and lease documents. One read when all
 * of it is there in this version; safe to run from several processes at once and to run again.
 */
export const ensure: Effect.Effect<void, MongoError.MongoError, MongoDatabase> = Effect.suspend(() =>
  Effect.retry(makeAll, { while: isBuilding, schedule: whileBuilding })
)

const makeAll = Effect.gen(function* () {
  const { db } = yield* MongoDatabase
  if ((yield* storedVersion(db)) >= version) return
  yield* Effect.logInfo(`making the outbox's collections and indexes, version ${version}`)
  yield* ensureCollections(Object.values(collections))
  yield* ensureValidators(db)
  yield* ensureIndexes(db)
  yield* removeFormerSentinels(db)
  yield* ensureDocuments(db, collections.outbox, Slot.all.map(OutboxRecord.sentinel))
  yield* ensureDocuments(
    db,
    collections.leases,
    Slot.all.map((slot) => ({ _id: slot, owner: null, epoch: 0, suspect: false, changes: 0 }))
  )
  yield* upgradeDocuments(db)
  yield* storeVersion(db)
})
