import { MongoDatabase, MongoError } from "@twinbox/mongodb"
import { Data, Duration, Effect } from "effect"
import { type Collection, type Filter, ObjectId } from "mongodb"
import * as Correlation from "./Correlation.ts"
import type { LogLine } from "./LogLine.ts"

export const collection = "logs"

/** Room for lines, in bytes. When it is full, MongoDB takes away the oldest by itself. */
const capacityBytes = 64 * 1024 * 1024

/** How long somebody waits for lines to be found. */
const findWithin = Duration.seconds(5)

/** Lines cannot be stored or read. Retryable: MongoDB is away or slow. */
export class LogStoreError extends Data.TaggedError("LogStoreError")<{
  readonly message: string
  readonly retryable: boolean
}> {}

/** Which lines are meant: at least one of the ids is given, and lines have all that are. */
export interface Query extends Correlation.Ids {
  readonly limit: number
  /** Only lines before this position. */
  readonly before?: string
}

/** Lines in MongoDB. */
export interface LogStore {
  /** Makes the collection and its indexes, unless they are there. */
  readonly ensure: Effect.Effect<void, LogStoreError>
  /** Stores lines; those that are there already stay as they are. */
  readonly insert: (lines: ReadonlyArray<LogLine>) => Effect.Effect<void, LogStoreError>
  /** Finds lines, the newest first. */
  readonly find: (query: Query) => Effect.Effect<ReadonlyArray<LogLine>, LogStoreError>
}

const failed = (error: unknown): LogStoreError => {
  const { message, retryable } = MongoError.fromDriver(error)
  return new LogStoreError({ message, retryable })
}

const late = new LogStoreError({ message: "MongoDB did not answer in time", retryable: true })

const attempt = <A>(call: (signal: AbortSignal) => Promise<A>) =>
  Effect.tryPromise({ try: call, catch: failed })

const indexOf = (id: string) => ({
  name: id,
  key: { [id]: 1, at: -1, _id: -1 } as const,
  partialFilterExpression: { [id]: { $exists: true } }
})

const namespaceExists = (error: unknown): boolean =>
  error instanceof Error && "codeName" in error && error.codeName === "NamespaceExists"

const notCapped = new LogStoreError({
  message: `the collection '${collection}' is there and is not a capped one`,
  retryable: false
})

const ensureCapped = ({ db }: MongoDatabase.MongoDatabase["Type"]) =>
  Effect.gen(function* () {
    yield* attempt(() =>
      db
        .createCollection(collection, { capped: true, size: capacityBytes })
        .catch((error: unknown) => (namespaceExists(error) ? undefined : Promise.reject(error)))
    )
    const isCapped = yield* attempt(() => db.collection(collection).isCapped())
    // It would grow without end, or may be somebody else's.
    if (!isCapped) return yield* notCapped
    return undefined
  })

/** Where a line stands among all others: its time, in milliseconds, and its id. */
export const positionOf = ({ _id, at }: Pick<LogLine, "_id" | "at">): string =>
  `${at.getTime()}-${_id.toHexString()}`

export const positionPattern = /^\d{1,15}-[0-9a-f]{24}$/

const earlierThan = (position: string): Filter<LogLine> => {
  const [millis = "", id = ""] = position.split("-")
  const at = new Date(Number(millis))
  return { at: { $lte: at }, $or: [{ at: { $lt: at } }, { _id: { $lt: new ObjectId(id) } }] }
}

const filterOf = ({ before, limit: _, ...ids }: Query): Filter<LogLine> => ({
  ...ids,
  ...(before === undefined ? {} : earlierThan(before))
})

const isThere = (error: unknown): boolean => MongoError.fromDriver(error)._tag === "DuplicateKey"

const insertInto = (lines: Collection<LogLine>) => (given: ReadonlyArray<LogLine>) =>
  attempt(() =>
    lines
      // Lines are no customers: nobody waits until they are on other machines.
      .insertMany([...given], { ordered: false, writeConcern: { w: 1 } })
      .then(() => undefined)
      .catch((error: unknown) => (isThere(error) ? undefined : Promise.reject(error)))
  )

export const make: Effect.Effect<LogStore, never, MongoDatabase.MongoDatabase> = Effect.map(
  MongoDatabase.MongoDatabase,
  (database) => {
    const lines = database.db.collection<LogLine>(collection)
    const indexes = [indexOf(Correlation.sessionId), indexOf(Correlation.requestId)]
    return {
      ensure: Effect.zipRight(
        ensureCapped(database),
        Effect.asVoid(attempt(() => lines.createIndexes(indexes)))
      ),
      insert: insertInto(lines),
      find: (query) =>
        attempt((signal) =>
          lines.find(filterOf(query), { sort: { at: -1, _id: -1 }, limit: query.limit, signal }).toArray()
        ).pipe(Effect.timeoutFail({ duration: findWithin, onTimeout: () => late }))
    }
  }
)
