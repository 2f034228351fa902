import { MongoDatabase, MongoIndexes } from "@twinbox/mongodb"
import { Effect, Schedule } from "effect"
import { nowMillis } from "./RelayProtocol.ts"
import { within } from "./TimeLimit.ts"

/** Slots as the database shows them. */
export interface Shares {
  readonly members: number
  /** How many slots each member owns. */
  readonly counts: ReadonlyArray<number>
  readonly free: ReadonlyArray<number>
}

const lookEvery = Schedule.spaced("50 millis")

export const look = Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
  Effect.promise(async (): Promise<Shares> => {
    const { leases, relays } = MongoIndexes.collections
    const slots = await db.collection<{ _id: number; owner: string | null }>(leases).find().toArray()
    const members = await db.collection<{ _id: string }>(relays).find().toArray()
    const counts = new Map(members.map(({ _id }) => [_id, 0]))
    const free: Array<number> = []
    for (const { _id, owner } of slots) {
      const count = owner === null ? undefined : counts.get(owner)
      if (owner === null || count === undefined) free.push(_id)
      else counts.set(owner, count + 1)
    }
    return { members: members.length, counts: [...counts.values()], free }
  })
)

/** Whether these are so many relays that own everything between them, in equal shares. */
const isSettled = ({ counts, free }: Shares, relays: number) =>
  counts.length === relays && free.length === 0 && Math.max(...counts) - Math.min(...counts) <= 1

const until = (isDone: (shares: Shares) => boolean) =>
  Effect.repeat(look, { until: isDone, schedule: lookEvery }).pipe(
    within("1 minute", "relays had come or gone, and owned every slot in equal shares")
  )

/** Waits for so many relays to take part. */
export const joined = (relays: number) => until(({ members }) => members === relays)

/** Watches until so many relays own everything in equal shares; returns the longest that a slot was seen without an owner. */
export const settled = (relays: number) =>
  Effect.suspend(() => {
    const freeSince = new Map<number, number>()
    let longestMillis = 0
    const note = ({ free }: Shares) => {
      const now = nowMillis()
      const isFree = new Set(free)
      for (const slot of free) if (!freeSince.has(slot)) freeSince.set(slot, now)
      for (const [slot, since] of freeSince) {
        longestMillis = Math.max(longestMillis, now - since)
        if (!isFree.has(slot)) freeSince.delete(slot)
      }
    }
    return Effect.map(
      until((shares) => {
        note(shares)
        return isSettled(shares, relays)
      }),
      () => ({ longestFreeMillis: longestMillis })
    )
  })
