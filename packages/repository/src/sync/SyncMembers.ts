import { MongoCall, type MongoError } from "@twinbox/mongodb"
import { Membership, MonotonicClock } from "@twinbox/outbox"
import { Duration, Effect, Fiber, type Scope } from "effect"
import type { Db } from "mongodb"

/** An instance that takes part: its heartbeat document. */
interface MemberRecord {
  readonly _id: string
  readonly counter: number
  readonly leaseMillis: number
}

/** The membership of one instance. */
export interface Member {
  readonly id: string
  /** Those who, or whose workers, are no members any more: who had work and is no member afterwards has left it. */
  readonly gone: (
    owners: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<string>, MongoError.MongoError>
}

/** Names for the workers of a member. */
export const workersOf = ({ id }: Member, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, at) => `${id}/${at}`)

const memberOf = (owner: string): string => owner.split("/", 1)[0] ?? owner

export const collectionName = "sync_members"

/** Heartbeats in one lease: two may be lost without harm. */
const beatsPerLease = 3

const majority = { writeConcern: { w: "majority" } } as const

/**
 * Joins until the end of the scope. Members watch the counters of the others, each on its own monotonic clock, and
 * expel one that stands still for longer than its lease. Who was expelled and lives comes back with its next
 * heartbeat: nothing is fenced by membership, it only keeps several from doing the same work.
 */
export const join = (
  db: Db,
  leaseMillis: number
): Effect.Effect<Member, MongoError.MongoError, Scope.Scope> => {
  const id = globalThis.crypto.randomUUID()
  const members = db.collection<MemberRecord>(collectionName)
  const silence = new Membership.Silence()

  const beat = Effect.gen(function* () {
    yield* MongoCall.attempt(() =>
      members.updateOne(
        { _id: id },
        { $inc: { counter: 1 }, $set: { leaseMillis } },
        { upsert: true, ...majority }
      )
    )
    const found = yield* MongoCall.attempt(() => members.find({ _id: { $ne: id } }).toArray())
    const others = found.map(({ _id, counter, leaseMillis }) => ({
      owner: _id,
      counter,
      leaseMillis,
      leaving: false
    }))
    for (const { counter, owner } of silence.observe(others, yield* MonotonicClock.millis)) {
      const { deletedCount } = yield* MongoCall.attempt(() =>
        members.deleteOne({ _id: owner, counter }, majority)
      )
      if (deletedCount === 1)
        yield* Effect.logWarning(`a sync instance has fallen silent; its work is taken over`)
    }
  })

  const beating = beat.pipe(
    Effect.catchAll((error) => Effect.logWarning(`a heartbeat of the sync failed: ${error.message}`)),
    Effect.delay(Duration.millis(leaseMillis / beatsPerLease)),
    Effect.forever,
    Effect.interruptible
  )

  const leave = MongoCall.attempt(() => members.deleteOne({ _id: id }, majority))

  return Effect.as(
    Effect.acquireRelease(Effect.zipRight(beat, Effect.forkDaemon(beating)), (fiber) =>
      Effect.zipRight(
        Fiber.interrupt(fiber),
        Effect.ignoreLogged(Effect.timeout(Effect.interruptible(leave), "2 seconds"))
      )
    ),
    {
      id,
      gone: (owners) =>
        owners.length === 0
          ? Effect.succeed([])
          : Effect.map(
              MongoCall.attempt(() =>
                members
                  .find(
                    { _id: { $in: owners.map(memberOf) } },
                    { projection: { _id: 1 }, readConcern: { level: "majority" } }
                  )
                  .toArray()
              ),
              (found) => {
                const living = new Set(found.map(({ _id }) => _id))
                return owners.filter((owner) => !living.has(memberOf(owner)))
              }
            )
    }
  )
}
