import { Effect, Metric, Schedule } from "effect"
import type { OutboxError } from "./OutboxError.ts"
import * as OutboxMetrics from "./OutboxMetrics.ts"
import type { SlotState } from "./OutboxStore.ts"
import type { RelayParts } from "./RelayParts.ts"
import * as RelaySettler from "./RelaySettler.ts"
import * as RelaySpans from "./RelaySpans.ts"

/** Slots that came or went, for the metric. */
export const noteChange = (change: "gained" | "released" | "lost", slots: number) =>
  Metric.incrementBy(Metric.tagged(OutboxMetrics.leaseChanges, "change", change), slots)

/** Takes up work on slots that were claimed; the readers have to be told. */
export const gain = ({ holding, lanes }: RelayParts, states: ReadonlyArray<SlotState>) =>
  Effect.gen(function* () {
    holding.add(states)
    const suspects = states.filter(({ suspect }) => suspect).map(({ slot }) => slot)
    const slots = states.map(({ slot }) => slot)
    for (const lane of lanes) lane.gain(slots, suspects)
    yield* noteChange("gained", states.length)
    const suspect = suspects.length === 0 ? "" : `, ${suspects.length} of them not cleanly left`
    yield* Effect.logInfo(`owns ${holding.size} slots: ${states.length} gained${suspect}`)
  })

/** What is on its way of these slots may arrive; what does not in time is left to their next owner. */
const drained = ({ inFlight, lanes, settings }: RelayParts, slots: ReadonlySet<number>) =>
  Effect.sync(
    () =>
      [...slots].every((slot) => inFlight.countIn(slot) === 0) && !lanes.some((lane) => lane.touches(slots))
  ).pipe(
    Effect.repeat({ until: (isDone) => isDone, schedule: Schedule.spaced("10 millis") }),
    Effect.interruptible,
    Effect.timeoutTo({
      duration: settings.drainWithin,
      onSuccess: () => Effect.void,
      onTimeout: () =>
        Effect.logWarning(
          "not all that was on its way was confirmed before its slots were given back; it stays in the outbox"
        )
    }),
    Effect.flatten
  )

/**
 * Gives slots to whoever takes them next. Nothing new of them is taken in; what is on its way is finished, so that the
 * next owner sends nothing twice; only then are they free.
 */
export const giveBack = (parts: RelayParts, slots: ReadonlySet<number>): Effect.Effect<void, OutboxError> =>
  Effect.gen(function* () {
    const { holding, inFlight, lanes, store, yielding } = parts
    for (const slot of slots) yielding.add(slot)
    yield* Effect.forEach(lanes, (lane) => lane.yieldSlots(slots), { discard: true })
    yield* drained(parts, slots)
    const lease = holding.leaseOf(slots)
    holding.remove(slots)
    yield* Effect.forEach(lanes, (lane) => lane.drop(slots), { discard: true })
    yield* inFlight.abandon(slots)
    for (const slot of slots) yielding.delete(slot)
    yield* RelaySettler.persistently(store.release(lease))
    yield* noteChange("released", slots.size)
  }).pipe(RelaySpans.giveBack(slots.size))
