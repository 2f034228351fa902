import { randomUUID } from "node:crypto"
import { MongoIndexes } from "@twinbox/mongodb"
import type { Message } from "@twinbox/outbox"
import { Data, Duration, Effect, Schedule, type Scope } from "effect"
import type { ChangeStream, Db, Document, ResumeToken, Timestamp } from "mongodb"
import { digestOf } from "./DeliveryLog.ts"

/** MongoDB did not answer. */
class AuditError extends Data.TaggedError("AuditError")<{ readonly cause: unknown }> {}

/** Knows every message that ever committed, though relays delete them when they are delivered. */
export interface Audit {
  /** By id; a digest stands in the place of the payload. */
  readonly committed: ReadonlyMap<string, Message.Message>
  /** Waits until everything is known that committed before this call. */
  readonly catchUp: Effect.Effect<void, AuditError>
}

/** Documents here are only made to be seen going by. */
const marks = "chaos_marks"

/** How long one look at the stream waits for something new, in milliseconds. */
const lookMillis = 500

const again = Schedule.spaced("100 millis")

const attempt = <A>(call: () => Promise<A>) =>
  Effect.tryPromise({ try: call, catch: (cause) => new AuditError({ cause }) })

/** Where the change stream begins: nothing that commits from now on is missed. */
const currentTime = (db: Db) =>
  attempt(async () => (await db.command({ ping: 1 }))["operationTime"] as Timestamp)

interface Insert {
  readonly _id: ResumeToken
  readonly ns: { readonly coll: string }
  readonly fullDocument: Document
}

const watch = (
  db: Db,
  from: { readonly resumeAfter: ResumeToken } | { readonly startAtOperationTime: Timestamp }
) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      db.watch<Document, Document>(
        [
          {
            $match: {
              operationType: "insert",
              "ns.coll": { $in: [MongoIndexes.collections.outbox, marks] },
              // Sentinels are no messages.
              "fullDocument.key": { $ne: "" }
            }
          }
        ],
        { ...from, maxAwaitTimeMS: lookMillis }
      )
    ),
    (stream) => Effect.promise(() => stream.close())
  )

const messageOf = (record: Document): Message.Message => ({
  id: record["_id"] as string,
  topic: record["topic"] as string,
  key: record["key"] as Message.Message["key"],
  slot: record["slot"] as number,
  sequence: record["sequence"] as number,
  ordinal: record["ordinal"] as number,
  payload: digestOf(record["payload"] as string | null),
  headers: {},
  createdAt: 0
})

/**
 * Follows the inserts into the outbox until the end of the scope, by a change stream: it shows what a majority has,
 * and goes on where it was after an election. To be started before anything is written.
 */
export const make = (db: Db): Effect.Effect<Audit, AuditError, Scope.Scope> =>
  Effect.gen(function* () {
    const committed = new Map<string, Message.Message>()
    const seen = new Set<string>()
    const startAtOperationTime = yield* currentTime(db)
    let token: ResumeToken | undefined

    const note = ({ _id, fullDocument, ns }: Insert) => {
      token = _id
      if (ns.coll === marks) seen.add(fullDocument["_id"] as string)
      else committed.set(fullDocument["_id"] as string, messageOf(fullDocument))
    }
    const look = (stream: ChangeStream<Document, Document>) =>
      Effect.map(
        attempt(() => stream.tryNext()),
        (event) => {
          if (event !== null) note(event as unknown as Insert)
        }
      )
    const follow = Effect.suspend(() =>
      Effect.scoped(
        Effect.flatMap(
          watch(db, token === undefined ? { startAtOperationTime } : { resumeAfter: token }),
          (stream) => Effect.forever(look(stream))
        )
      )
    )
    yield* Effect.forkScoped(Effect.retry(follow, again))

    const catchUp = Effect.gen(function* () {
      const mark = randomUUID()
      yield* attempt(() =>
        db
          .collection<{ _id: string }>(marks)
          .updateOne({ _id: mark }, { $set: {} }, { upsert: true, writeConcern: { w: "majority" } })
      ).pipe(Effect.retry(again.pipe(Schedule.upTo("60 seconds"))))
      // The stream shows what committed in the order in which it did.
      yield* Effect.sync(() => seen.has(mark)).pipe(
        Effect.repeat({ until: (isSeen) => isSeen, schedule: Schedule.spaced("20 millis") }),
        Effect.timeoutFail({
          duration: Duration.seconds(60),
          onTimeout: () => new AuditError({ cause: "the change stream does not show what was written last" })
        })
      )
    })
    return { committed, catchUp }
  })
