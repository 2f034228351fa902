import { Effect } from "effect"
import * as MonotonicClock from "./MonotonicClock.ts"
import type { RelayParts } from "./RelayParts.ts"

/** Records that no read comes across are searched for this rarely. */
const orphanSweepMillis = 600_000

/** Slots out of which everything that could have killed a process has been delivered are suspect no more. */
export const clearSuspects = ({ holding, inFlight, lanes, reader, store }: RelayParts) =>
  Effect.suspend(() => {
    if (reader.mode() !== "live") return Effect.void
    const cleared: Array<number> = []
    for (const slot of holding.slots) {
      const suspecting = lanes.filter((lane) => lane.isSuspect(slot))
      if (suspecting.length === 0 || inFlight.countIn(slot) > 0) continue
      const past = suspecting.filter((lane) => lane.flows(slot))
      for (const lane of past) lane.clearSuspect(slot)
      if (past.length === suspecting.length) cleared.push(slot)
    }
    return cleared.length === 0 ? Effect.void : store.clearSuspects(holding.leaseOf(cleared))
  })

/** Messages whose time has come are made ready, and looked for: no feed shows them. */
export const promote = ({ holding, reader, store }: RelayParts) =>
  Effect.gen(function* () {
    const slots = [...holding.slots]
    if (slots.length > 0 && (yield* store.promote(slots)) > 0) yield* reader.look(slots)
  })

/** Finds, now and then, records that no read would ever come across. */
export const orphanSweep = ({ holding, reader, store }: RelayParts) =>
  Effect.map(MonotonicClock.millis, (startedAt) => {
    let sweptAt = startedAt
    return Effect.gen(function* () {
      const now = yield* MonotonicClock.millis
      if (now - sweptAt < orphanSweepMillis || holding.size === 0) return
      sweptAt = now
      const { corrupt, mended } = yield* store.sweepOrphans(holding.leaseOf(holding.slots))
      if (corrupt.length > 0) yield* reader.bury(corrupt)
      if (mended > 0) yield* Effect.logWarning(`${mended} outbox records were owed to nobody; mended`)
    })
  })
