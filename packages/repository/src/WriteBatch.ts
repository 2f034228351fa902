import { MongoDatabase, MongoError, Transaction } from "@twinbox/mongodb"
import { Outbox, type OutboxError, type Transaction as OutboxTransaction } from "@twinbox/outbox"
import { type Context, Data, Effect, Either, Exit } from "effect"
import type { AnyBulkWriteOperation, ClientSession, Collection, OptionalUnlessRequiredId } from "mongodb"
import {
  type Current,
  nothing,
  type StoredDocument,
  type StoredTwin,
  type Tombstone
} from "./StoredDocument.ts"
import { OutboxFull } from "./RepositoryError.ts"
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

export type BatchError = MongoError.MongoError | OutboxFull | RefusedWrite

/** The error as callers of single writes know it. */
export const forCaller = <E>(error: E | RefusedWrite): E | MongoError.DuplicateKey =>
  error instanceof RefusedWrite ? error.error : error

/** What became of each write, in the order they were given. A function of a caller that throws is its own defect. */
export type Results = ReadonlyArray<Exit.Exit<WritePlan.Planned, WritePlan.PlanError>>

export interface WriteBatch {
  /**
   * Plans and makes writes in the open transaction. No two may have the same id. Round trips: one read if
   * something is changed or deleted, two if something is created under a caller's id, three if something is synced,
   * and one write for each kind of change (insert, replace, delete) in each of originals, twins and tombstones, and
   * one to the outbox.
   */
  readonly execute: (
    writes: ReadonlyArray<WritePlan.Write>
  ) => Effect.Effect<Results, BatchError, OutboxTransaction.Transaction>
}

type Operation<D extends { readonly _id: string }> = AnyBulkWriteOperation<D>

/** An operation, and the place in the batch of the write that it belongs to; undefined: it belongs to several. */
interface Placed<D extends { readonly _id: string }> {
  readonly position: number | undefined
  readonly operation: Operation<D>
}

const insert = <D extends { readonly _id: string }>(document: D) =>
  ({ insertOne: { document } }) as unknown as Operation<D>

const replace = <D extends { readonly _id: string }>(document: D, upsert: boolean) =>
  ({
    replaceOne: { filter: { _id: document._id }, replacement: document, upsert }
  }) as unknown as Operation<D>

const setVersion = (ids: ReadonlyArray<string>, version: number) =>
  ({
    updateMany: { filter: { _id: { $in: ids } }, update: { $set: { version } } }
  }) as unknown as Operation<StoredDocument>

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

/** What goes to one collection. */
interface Share {
  readonly send: (session: ClientSession) => Promise<void>
  /** The write in the batch that an operation belongs to, if it is that of one. */
  readonly positionOf: (operation: number) => number | undefined
}

const share = <D extends { readonly _id: string }>(
  collection: Collection<D>,
  placed: ReadonlyArray<Placed<D>>
): ReadonlyArray<Share> =>
  placed.length === 0
    ? []
    : [
        {
          send: (session) =>
            send(
              collection,
              placed.map(({ operation }) => operation),
              session
            ),
          positionOf: (operation) => placed[operation]?.position
        }
      ]

/** Sends the shares one after another. */
const sendAll = (shares: ReadonlyArray<Share>) => {
  let sending: Share | undefined
  const sent = Transaction.use(async (session) => {
    for (const next of shares) {
      sending = next
      await next.send(session)
    }
  })
  return Effect.mapError(sent, (error): BatchError => {
    const position = error._tag === "DuplicateKey" ? sending?.positionOf(error.position) : undefined
    return error._tag === "DuplicateKey" && position !== undefined
      ? new RefusedWrite({ position, error })
      : error
  })
}

const originalOperation = (plan: WritePlan.Plan): Operation<StoredDocument> | undefined => {
  const { id, original } = plan
  switch (original._tag) {
    case "Insert":
      return insert(original.document)
    case "Replace":
      return replace(original.document, false)
    case "Remove":
      return remove(id)
    // Together with others that get the same version.
    case "SetVersion":
    case "None":
      return undefined
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
const unwrap = (error: OutboxError.OutboxError, collection: string): BatchError => {
  const { cause, reason } = error
  if (reason === "Full") return new OutboxFull({ collection })
  if (
    cause instanceof MongoError.Unavailable ||
    cause instanceof MongoError.TransactionTooLarge ||
    cause instanceof MongoError.Refused
  ) {
    return cause
  }
  return new MongoError.Refused({ code: undefined, codeName: error.message, cause: error.reason })
}

/** A plan, and the place in the batch of the write that it belongs to. */
interface PlacedPlan {
  readonly position: number
  readonly plan: WritePlan.Plan
}

const plansOf = (results: Results): ReadonlyArray<PlacedPlan> =>
  results.flatMap((result, position) =>
    Exit.isSuccess(result) && result.value._tag === "Write" ? [{ position, plan: result.value.plan }] : []
  )

/** What frees a unique value goes before what may take it. */
const rank = (operation: object): number => {
  if ("deleteOne" in operation) return 0
  return "insertOne" in operation ? 2 : 1
}

/**
 * The operations that plans ask for in one collection. Those of a kind stand together, since the driver sends
 * a command whenever the kind changes; as all ids differ, the order is free.
 */
const placed = <D extends { readonly _id: string }>(
  plans: ReadonlyArray<PlacedPlan>,
  operationOf: (plan: WritePlan.Plan) => Operation<D> | undefined
): ReadonlyArray<Placed<D>> =>
  plans
    .flatMap(({ plan, position }) => {
      const operation = operationOf(plan)
      return operation === undefined ? [] : [{ position, operation }]
    })
    .toSorted((left, right) => rank(left.operation) - rank(right.operation))

/** Originals that get a version and stay as they are otherwise: in one operation all that get the same. */
const versionOperations = (plans: ReadonlyArray<PlacedPlan>): ReadonlyArray<Placed<StoredDocument>> => {
  const idsOf = new Map<number, Array<string>>()
  for (const { plan } of plans) {
    if (plan.original._tag !== "SetVersion") continue
    const ids = idsOf.get(plan.version)
    if (ids === undefined) idsOf.set(plan.version, [plan.id])
    else ids.push(plan.id)
  }
  return [...idsOf].map(([version, ids]) => ({ position: undefined, operation: setVersion(ids, version) }))
}

const noCurrents: ReadonlyMap<string, Current> = new Map()

/** An original with what else is stored about its id. */
interface Joined {
  readonly original: StoredDocument
  readonly twins: ReadonlyArray<StoredTwin>
  readonly tombstones: ReadonlyArray<Tombstone>
}

const joinById = (from: string, as: keyof Joined) => ({
  $lookup: { from, localField: "original._id", foreignField: "_id", as }
})

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

    /** Everything stored about originals, in one round trip. */
    const readChanged = (ids: ReadonlyArray<string>, currents: Map<string, Current>) =>
      Effect.gen(function* () {
        if (ids.length === 0) return
        const found = yield* Transaction.use((session) =>
          originals
            .aggregate<Joined>(
              [
                { $match: { _id: { $in: ids } } },
                { $project: { _id: 0, original: "$$ROOT" } },
                joinById(names.twins, "twins"),
                joinById(names.tombstones, "tombstones")
              ],
              { session, batchSize: ids.length + 1 }
            )
            .toArray()
        )
        for (const { original, tombstones, twins } of found) {
          currents.set(original._id, { original, twin: twins[0], tombstone: tombstones[0] })
        }
      })

    const findIn = <D extends { readonly _id: string }>(
      collection: Collection<D>,
      ids: ReadonlyArray<string>
    ) =>
      Transaction.use(
        (session) =>
          collection
            .find({ _id: { $in: [...ids] } } as never, { session, batchSize: ids.length + 1 })
            .toArray() as Promise<Array<D>>
      )

    /** What is left of earlier documents under ids that are to be taken. */
    const readLeft = (ids: ReadonlyArray<string>, currents: Map<string, Current>) =>
      Effect.gen(function* () {
        if (ids.length === 0) return
        for (const twin of yield* findIn(twins, ids)) {
          currents.set(twin._id, { ...(currents.get(twin._id) ?? nothing), twin })
        }
        for (const tombstone of yield* findIn(tombstones, ids)) {
          currents.set(tombstone._id, { ...(currents.get(tombstone._id) ?? nothing), tombstone })
        }
      })

    /** Everything stored about ids, whether there are originals or not; cheaper for many than to join them. */
    const readAll = (ids: ReadonlyArray<string>, currents: Map<string, Current>) =>
      Effect.gen(function* () {
        if (ids.length === 0) return
        for (const original of yield* findIn(originals, ids)) {
          currents.set(original._id, { ...nothing, original })
        }
        yield* readLeft(ids, currents)
      })

    const readCurrents = (writes: ReadonlyArray<WritePlan.Write>) => {
      const changed: Array<string> = []
      const created: Array<string> = []
      const synced: Array<string> = []
      for (const { intent } of writes) {
        if (intent._tag === "Sync") synced.push(intent.id)
        else if (intent._tag !== "Create") changed.push(intent.id)
        else if (!intent.isNewId) created.push(intent.id)
      }
      if (changed.length + created.length + synced.length === 0) return Effect.succeed(noCurrents)
      return Effect.gen(function* () {
        const currents = new Map<string, Current>()
        yield* readChanged(changed, currents)
        yield* readLeft(created, currents)
        yield* readAll(synced, currents)
        return currents
      })
    }

    const plan = (one: WritePlan.Write, current: Current, now: Date): Results[number] => {
      try {
        return Either.match(WritePlan.make(definition, one, current, now), {
          onLeft: Exit.fail,
          onRight: Exit.succeed
        })
      } catch (defect) {
        return Exit.die(defect)
      }
    }

    const writePlans = (plans: ReadonlyArray<PlacedPlan>) => {
      if (plans.length === 0) return Effect.void
      const shares = [
        ...share(originals, [...placed(plans, originalOperation), ...versionOperations(plans)]),
        ...share(twins, placed(plans, twinOperation)),
        ...share(tombstones, placed(plans, tombstoneOperation))
      ]
      const drafts = plans.flatMap(({ plan }) => plan.drafts)
      return Effect.zipRight(
        sendAll(shares),
        Effect.mapError(outbox.appendAll(drafts), (error) => unwrap(error, names.originals))
      )
    }

    const execute: WriteBatch["execute"] = (writes) =>
      Effect.flatMap(readCurrents(writes), (currents) =>
        Effect.clockWith((clock) => {
          const now = new Date(clock.unsafeCurrentTimeMillis())
          const results = writes.map((one) => plan(one, currents.get(one.intent.id) ?? nothing, now))
          return Effect.as(writePlans(plansOf(results)), results)
        })
      )

    return { execute }
  })
