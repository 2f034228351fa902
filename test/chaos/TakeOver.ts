import { MongoIndexes } from "@twinbox/mongodb"
import { Data, Duration, Effect, Schedule } from "effect"
import type { Db } from "mongodb"

class LeasesUnread extends Data.TaggedError("LeasesUnread")<{ readonly cause: unknown }> {}

/** How often the leases are looked at: the precision of what is measured. */
const lookEvery = Duration.millis(50)

const slotsOf = (db: Db, owner: string) =>
  Effect.tryPromise({
    try: () => db.collection<{ _id: number }>(MongoIndexes.collections.leases).distinct("_id", { owner }),
    catch: (cause) => new LeasesUnread({ cause })
  }).pipe(Effect.retry(Schedule.spaced("100 millis")), Effect.orDie)

/**
 * How long it takes, from now on, until this owner has no slot any more, in milliseconds; undefined when it has none
 * to begin with, or still has some when `within` is over.
 */
export const measure = (
  db: Db,
  owner: string,
  within: Duration.DurationInput
): Effect.Effect<number | undefined> =>
  Effect.gen(function* () {
    if ((yield* slotsOf(db, owner)).length === 0) return undefined
    const [taken] = yield* slotsOf(db, owner).pipe(
      Effect.repeat({ until: (slots) => slots.length === 0, schedule: Schedule.spaced(lookEvery) }),
      Effect.timed
    )
    return Duration.toMillis(taken)
  }).pipe(Effect.timeoutTo({ duration: within, onSuccess: (millis) => millis, onTimeout: () => undefined }))
