import { MongoIndexes } from "@twinbox/mongodb"
import { Data, Duration, Effect, Schedule } from "effect"
import type { Db } from "mongodb"

class LeasesUnread extends Data.TaggedError("LeasesUnread")<{ readonly cause: unknown }> {}

/** How often the leases are looked at: the precision of what is measured. */
const lookEvery = Duration.millis(50)

const ask = <A>(question: () => Promise<A>) =>
  Effect.tryPromise({ try: question, catch: (cause) => new LeasesUnread({ cause }) }).pipe(
    Effect.retry(Schedule.spaced("100 millis")),
    Effect.orDie
  )

/**
 * How long it takes, from now on, until a relay has lost all its slots, in milliseconds; undefined when it has none
 * to begin with, or still has some when `within` is over. Slots that it comes back to later are others.
 *
 * @param relay the name that the relay was given; the leases have it with a number that rises when it joins again
 */
export const measure = (
  db: Db,
  relay: string,
  within: Duration.DurationInput
): Effect.Effect<number | undefined> =>
  Effect.gen(function* () {
    const leases = db.collection<{ _id: number; owner: string | null }>(MongoIndexes.collections.leases)
    const [owner] = yield* ask(() => leases.distinct("owner", { owner: { $regex: `^${relay}:` } }))
    if (owner === undefined) return undefined
    const [taken] = yield* ask(() => leases.countDocuments({ owner })).pipe(
      Effect.repeat({ until: (slots) => slots === 0, schedule: Schedule.spaced(lookEvery) }),
      Effect.timed
    )
    return Duration.toMillis(taken)
  }).pipe(Effect.timeoutTo({ duration: within, onSuccess: (millis) => millis, onTimeout: () => undefined }))
