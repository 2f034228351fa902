import { MongoCall, type MongoError } from "@twinbox/mongodb"
import { Backoff } from "@twinbox/outbox"
import { Effect, Schedule } from "effect"
import type { Db, Document } from "mongodb"
import { RetireRefused } from "../RepositoryError.ts"

/*
 * The lowest key version that MongoDB lets twins of a collection be made under. It is a part of the collection's
 * validator, so it holds against every program, also one that is running, and costs a write no round trip.
 */

/** Tells our part of a validator from the user's. */
const comment = "twinbox: no twins of retired keys"

const clauseOf = (floor: number): Document => ({ $comment: comment, keyVersion: { $gte: floor } })

/** A validator, and whether everything that does not fit is refused. */
interface Rules {
  readonly floor: number
  /** The user's own part. */
  readonly others: ReadonlyArray<Document>
  readonly isStrict: boolean
}

const isDocument = (value: unknown): value is Document => typeof value === "object" && value !== null

const isOurs = (clause: unknown): boolean => isDocument(clause) && clause["$comment"] === comment

const floorIn = (clause: unknown): number => {
  const bound: unknown = isDocument(clause) ? (clause["keyVersion"] as Document)["$gte"] : undefined
  return typeof bound === "number" ? bound : 0
}

/** Takes the options of a collection apart. */
export const rulesOf = (options: Document): Rules => {
  const validator: unknown = options["validator"]
  const isStrict =
    (options["validationLevel"] ?? "strict") === "strict" &&
    (options["validationAction"] ?? "error") === "error"
  if (!isDocument(validator) || Object.keys(validator).length === 0) return { floor: 0, others: [], isStrict }
  const clauses: unknown = validator["$and"]
  if (!Array.isArray(clauses) || !clauses.some(isOurs)) return { floor: 0, others: [validator], isStrict }
  return {
    floor: floorIn(clauses.find(isOurs)),
    others: clauses.filter((clause) => !isOurs(clause)) as ReadonlyArray<Document>,
    isStrict
  }
}

const read = (db: Db, twins: string): Effect.Effect<Rules, MongoError.MongoError> =>
  Effect.map(
    MongoCall.attempt(() => db.listCollections({ name: twins }, { readPreference: "primary" }).toArray()),
    ([found]) => rulesOf((found as { readonly options?: Document } | undefined)?.options ?? {})
  )

/** The floor of a collection of twins; 0: twins may be made under any key. */
export const of = (db: Db, twins: string): Effect.Effect<number, MongoError.MongoError> =>
  Effect.map(read(db, twins), ({ floor, isStrict }) => (isStrict ? floor : 0))

/** What stands behind a command that waits for a lock waits as well, writes too: it must not wait long. */
const lockMillis = 1_000

const maxTimeExpired = 50

const whileLocked = Backoff.between("100 millis", "2 seconds").pipe(Schedule.upTo("2 minutes"))

const setFloor = (db: Db, twins: string, floor: number, others: ReadonlyArray<Document>) =>
  MongoCall.attempt(() =>
    db.command({
      collMod: twins,
      validator: { $and: [clauseOf(floor), ...others] },
      validationLevel: "strict",
      validationAction: "error",
      writeConcern: { w: "majority" },
      maxTimeMS: lockMillis
    })
  ).pipe(
    Effect.retry({
      while: (error) => error._tag === "Refused" && error.code === maxTimeExpired,
      schedule: whileLocked
    })
  )

/**
 * Raises the floor; it never sinks. Afterwards no twin of a lower key is made any more: MongoDB waits for the
 * transactions that have written to the collection before. A validator of the user's stays in force beside it, and has to be strict.
 */
export const raise = (
  db: Db,
  twins: string,
  floor: number
): Effect.Effect<void, MongoError.MongoError | RetireRefused> =>
  Effect.gen(function* () {
    const rules = yield* read(db, twins)
    if (rules.isStrict && rules.floor >= floor) return
    if (!rules.isStrict && rules.others.length > 0) {
      return yield* new RetireRefused({ collection: twins, keyVersion: floor - 1, reason: "Validator" })
    }
    yield* setFloor(db, twins, Math.max(floor, rules.floor), rules.others)
  })
