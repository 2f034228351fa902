import { MongoIndexes } from "@twinbox/mongodb"
import { Data, Duration, Effect, Schedule } from "effect"
import type { Collection, Db } from "mongodb"

class LeasesUnread extends Data.TaggedError("LeasesUnread")<{ readonly cause: unknown }> {}

/** How often the leases are looked at: the precision of what is measured. */
const lookEvery = Duration.millis(50)

interface LeaseRecord {
  readonly _id: number
  readonly owner: string | null
}

const ask = <A>(db: Db, question: (leases: Collection<LeaseRecord>) => Promise<A>) =>
  Effect.tryPromise({
    try: () => question(db.collection<LeaseRecord>(MongoIndexes.collections.leases)),
    catch: (cause) => new LeasesUnread({ cause })
  }).pipe(Effect.retry(Schedule.spaced("100 millis")), Effect.orDie)

/** The leases have the name that a relay was given, and after it what tells its memberships apart. */
const ownerOf = (db: Db, relay: string) =>
  Effect.map(
    ask(db, (leases) => leases.distinct("owner", { owner: { $regex: `^${relay}-` } })),
    ([owner]) => owner
  )

/** Waits until every one of these relays owns slots. */
export const awaitCalm = (db: Db, relays: () => ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.suspend(() => Effect.forEach(relays(), (relay) => ownerOf(db, relay))).pipe(
    Effect.repeat({
      until: (owners) => owners.every((owner) => owner !== undefined),
      schedule: Schedule.spaced("200 millis")
    }),
    Effect.asVoid
  )

/**
 * How long it takes, from now on, until a relay has lost all its slots, in milliseconds; undefined when it has none to
 * begin with. Slots that it comes back to later are others.
 */
export const measure = (db: Db, relay: string): Effect.Effect<number | undefined> =>
  Effect.gen(function* () {
    const owner = yield* ownerOf(db, relay)
    if (owner === undefined) return undefined
    const [taken] = yield* ask(db, (leases) => leases.countDocuments({ owner })).pipe(
      Effect.repeat({ until: (slots) => slots === 0, schedule: Schedule.spaced(lookEvery) }),
      Effect.timed
    )
    return Duration.toMillis(taken)
  })
