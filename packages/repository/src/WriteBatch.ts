import { MongoDatabase, MongoError, Transaction } from "@twinbox/mongodb"
import { Outbox, type OutboxError, type Transaction as OutboxTransaction } from "@twinbox/outbox"
import { Clock, type Context, Data, Effect, Either } from "effect"
import type { AnyBulkWriteOperation, ClientSession, Collection, OptionalUnlessRequiredId } from "mongodb"
import {
  type Current,
  nothing,
  type StoredDocument,
  type StoredTwin,
  type Tombstone
} from "./StoredDocument.ts"
import * as WritePlan from "./WritePlan.ts"

/** Names of the collections that a repository writes to, beside the outbox. */
export interface CollectionNames {
  readonly originals: string
  readonly twins: string
  readonly tombstones: string
}

/** A unique index refused one write of the batch. The transaction is gone; the others may be tried again without it. */
export class RefusedWrite extends Data.TaggedError("RefusedWrite")<{
  readonly position: number
  readonly error: MongoError.DuplicateKey
}> {}

export type BatchError = Exclude<MongoError.MongoError, MongoError.DuplicateKey> | RefusedWrite

/** What became of each write, in the order they were given. */
export type Results = ReadonlyArray<Either.Either<WritePlan.Planned, WritePlan.PlanError>>

export interface WriteBatch {
  /**
   * Plans and makes writes in the open transaction. No two may have the same id. Round trips: one read if
   * something is changed or deleted, two if something is created under a caller's id, and one write each for
   * originals, twins, outbox, and tombstones if there are any.
   */
  readonly execute: (
    writes: ReadonlyArray<WritePlan.Write>
  ) => Effect.Effect<Results, BatchError, OutboxTransaction.Transaction>
}

type Operation<D extends { readonly _id: string }> = AnyBulkWriteOperation<D>

/** An operation, and the place in the batch of the write that it belongs to. */
interface Placed<D extends { readonly _id: string }> {
  readonly position: number
  readonly operation: Operation<D>
}

const insert = <D extends { readonly _id: string }>(document: D) =>
  ({ insertOne: { document } }) as unknown as Operation<D>

const replace = <D extends { readonly _id: string }>(document: D, upsert: boolean) =>
  ({
    replaceOne: { filter: { _id: document._id }, replacement: document, upsert }
  }) as unknown as Operation<D>

const remove = <D extends { readonly _id: string }>(id: string) =>
  ({ deleteOne: { filter: { _id: id } } }) as unknown as Operation<D>

/** A single insert, by far the most frequent batch, goes without the driver's bulk machinery. */
const send = async <D extends { readonly _id: string }>(
  collection: Collection<D>,
  operations: ReadonlyArray<Operation<D>>,
  session: ClientSession
): Promise<void> => {
  const [first] = operations
  if (operations.length === 1 && first !== undefined && "insertOne" in first) {
    await collection.insertOne(first.insertOne.document as OptionalUnlessRequiredId<D>, { session })
  } else {
    await collection.bulkWrite([...operations], { session, ordered: true })
  }
}

const write = <D extends { readonly _id: string }>(
  collection: Collection<D>,
  placed: ReadonlyArray<Placed<D>>
) =>
  placed.length === 0
    ? Effect.void
    : Transaction.use((session) =>
        send(
          collection,
          placed.map(({ operation }) => operation),
          session
        )
      ).pipe(
        Effect.mapError((error): BatchError =>
          error._tag === "DuplicateKey"
            ? new RefusedWrite({ position: placed[error.position]?.position ?? 0, error })
            : error
        )
      )

const originalOperation = ({ id, original }: WritePlan.Plan): Operation<StoredDocument> => {
  switch (original._tag) {
    case "Insert":
      return insert(original.document)
    case "Replace":
      return replace(original.document, false)
    case "Remove":
      return remove(id)
  }
}

const twinOperation = ({ id, twin, twinMayExist }: WritePlan.Plan): Operation<StoredTwin> => {
  if (twin === null) return remove(id)
  return twinMayExist ? replace(twin, true) : insert(twin)
}

const tombstoneOperation = ({ id, tombstone }: WritePlan.Plan): Operation<Tombstone> | undefined => {
  if (tombstone === undefined) return undefined
  return tombstone === null ? remove(id) : replace(tombstone, true)
}

/** The adapter's own error, where the outbox wrapped one. */
const unwrap = (error: OutboxError.OutboxError): BatchError => {
  const { cause } = error
  if (
    cause instanceof MongoError.Unavailable ||
    cause instanceof MongoError.TransactionTooLarge ||
    cause instanceof MongoError.Refused
  ) {
    return cause
  }
  return new MongoError.Refused({ code: undefined, codeName: error.message, cause: error.reason })
}

/** Reads report no duplicate keys. */
const readError = (error: MongoError.MongoError): BatchError =>
  error._tag === "DuplicateKey" ? new RefusedWrite({ position: 0, error }) : error

type WithTwin = StoredDocument & { readonly twinboxTwin: ReadonlyArray<StoredTwin> }

export const make = (
  definition: WritePlan.Definition,
  names: CollectionNames
): Effect.Effect<WriteBatch, never, MongoDatabase.MongoDatabase | Outbox.Outbox> =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const outbox: Context.Tag.Service<Outbox.Outbox> = yield* Outbox.Outbox
    const originals = db.collection<StoredDocument>(names.originals)
    const twins = db.collection<StoredTwin>(names.twins)
    const tombstones = db.collection<Tombstone>(names.tombstones)

    /** Originals with their twins, in one round trip. */
    const readPairs = (ids: ReadonlyArray<string>) =>
      Transaction.use((session) =>
        originals
          .aggregate<WithTwin>(
            [
              { $match: { _id: { $in: ids } } },
              { $lookup: { from: names.twins, localField: "_id", foreignField: "_id", as: "twinboxTwin" } }
            ],
            { session }
          )
          .toArray()
      )

    const findIn = <D extends { readonly _id: string }>(
      collection: Collection<D>,
      ids: ReadonlyArray<string>
    ) =>
      ids.length === 0
        ? Effect.succeed<ReadonlyArray<D>>([])
        : Transaction.use(
            (session) =>
              collection.find({ _id: { $in: [...ids] } } as never, { session }).toArray() as Promise<Array<D>>
          )

    const readChanged = (ids: ReadonlyArray<string>, currents: Map<string, Current>) =>
      Effect.gen(function* () {
        if (ids.length === 0) return
        for (const { twinboxTwin, ...original } of yield* readPairs(ids)) {
          currents.set(original._id, {
            original: original as StoredDocument,
            twin: twinboxTwin[0],
            tombstone: undefined
          })
        }
      })

    /** What is left of earlier documents under these ids. */
    const readLeft = (ids: ReadonlyArray<string>, currents: Map<string, Current>) =>
      Effect.gen(function* () {
        for (const twin of yield* findIn(twins, ids)) currents.set(twin._id, { ...nothing, twin })
      })

    /** Only a document without a version of its own, or none at all, can be younger than its tombstone. */
    const readTombstones = (created: ReadonlyArray<string>, currents: Map<string, Current>) =>
      Effect.gen(function* () {
        const unversioned = [...currents.values()].flatMap(({ original }) =>
          original !== undefined && original.version === undefined ? [original._id] : []
        )
        for (const tombstone of yield* findIn(tombstones, [...created, ...unversioned])) {
          currents.set(tombstone._id, { ...(currents.get(tombstone._id) ?? nothing), tombstone })
        }
      })

    const readCurrents = (writes: ReadonlyArray<WritePlan.Write>) =>
      Effect.gen(function* () {
        const currents = new Map<string, Current>()
        const changed: Array<string> = []
        const created: Array<string> = []
        for (const { intent } of writes) {
          if (intent._tag !== "Create") changed.push(intent.id)
          else if (!intent.isNewId) created.push(intent.id)
        }
        yield* readChanged(changed, currents)
        yield* readLeft(created, currents)
        yield* readTombstones(created, currents)
        return currents
      }).pipe(Effect.mapError(readError))

    const writePlans = (plans: ReadonlyArray<readonly [position: number, plan: WritePlan.Plan]>) =>
      Effect.gen(function* () {
        if (plans.length === 0) return
        yield* write(
          originals,
          plans.map(([position, plan]) => ({ position, operation: originalOperation(plan) }))
        )
        yield* write(
          twins,
          plans.map(([position, plan]) => ({ position, operation: twinOperation(plan) }))
        )
        yield* write(
          tombstones,
          plans.flatMap(([position, plan]) => {
            const operation = tombstoneOperation(plan)
            return operation === undefined ? [] : [{ position, operation }]
          })
        )
        yield* Effect.mapError(outbox.appendAll(plans.flatMap(([, plan]) => plan.drafts)), unwrap)
      })

    const execute: WriteBatch["execute"] = (writes) =>
      Effect.gen(function* () {
        const currents = yield* readCurrents(writes)
        const now = new Date(yield* Clock.currentTimeMillis)
        const results = writes.map((one) =>
          WritePlan.make(definition, one, currents.get(one.intent.id) ?? nothing, now)
        )
        yield* writePlans(
          results.flatMap((result, position) =>
            Either.isRight(result) && result.right._tag === "Write"
              ? [[position, result.right.plan] as const]
              : []
          )
        )
        return results
      })

    return { execute }
  })
