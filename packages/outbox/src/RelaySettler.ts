import { Chunk, type Context, Effect, Metric, Queue } from "effect"
import * as Backoff from "./Backoff.ts"
import * as Delivery from "./Delivery.ts"
import type { InFlight } from "./InFlight.ts"
import type { OutboxError } from "./OutboxError.ts"
import * as OutboxMetrics from "./OutboxMetrics.ts"
import type { Lease, OutboxStore, Settlement } from "./OutboxStore.ts"

/** Messages settled in one write, at most. */
const maxBatch = 1_000

/** While the database is away: 50 ms to 5 s between attempts, with jitter, without end. */
const storeSchedule = Backoff.between("50 millis", "5 seconds")

const settlementOf = (delivery: Delivery.Delivery): Settlement => ({
  messageId: delivery.message.id,
  slot: delivery.message.slot,
  behind: delivery.behind,
  dead: delivery.dead
})

/** What no repetition mends: the lease is lost, or the write is too large. */
const isFinal = (error: OutboxError) => error.reason === "StaleLease" || error.reason === "TooLarge"

/** Tries again whatever may pass. */
export const persistently = <A>(write: Effect.Effect<A, OutboxError>): Effect.Effect<A, OutboxError> =>
  write.pipe(
    Effect.tapError((error) =>
      error.reason === "StaleLease"
        ? Metric.increment(OutboxMetrics.staleWrites)
        : Effect.logWarning(`${error.message}; ${isFinal(error) ? "giving up" : "trying again"}`)
    ),
    Effect.retry({ while: (error) => !isFinal(error), schedule: storeSchedule })
  )

/** Writes down what became of messages: one delete a batch when all is well. */
export interface Settler {
  readonly offer: (deliveries: ReadonlyArray<Delivery.Delivery>) => Effect.Effect<void>
  readonly settle: (settlements: ReadonlyArray<Settlement>) => Effect.Effect<void, OutboxError>
  /** Works until interrupted; fails with `StaleLease` when the lease is lost. */
  readonly run: Effect.Effect<never, OutboxError>
}

export interface Environment {
  readonly store: Context.Tag.Service<OutboxStore>
  readonly inFlight: InFlight
  readonly owns: (slot: number) => boolean
  readonly leaseOf: (slots: Iterable<number>) => Lease
  /** Is told of deliveries whose writes have returned. */
  readonly written: (deliveries: ReadonlyArray<Delivery.Delivery>) => void
}

export const make = ({ inFlight, leaseOf, owns, store, written }: Environment): Effect.Effect<Settler> =>
  Effect.gen(function* () {
    // Not bounded here: what can be in it is bounded by `InFlight`.
    const queue = yield* Queue.unbounded<Delivery.Delivery>()

    /** What is too large for one write is written in halves. One settlement that is too large by itself stays undone. */
    const settle = (settlements: ReadonlyArray<Settlement>): Effect.Effect<void, OutboxError> => {
      // A slot that has gone is somebody else's: there the messages are still what they were.
      const own = settlements.filter(({ slot }) => owns(slot))
      if (own.length === 0) return Effect.void
      const write = Effect.suspend(() => store.settle(leaseOf(own.map(({ slot }) => slot)), own))
      return Effect.catchIf(
        persistently(write),
        (error) => error.reason === "TooLarge",
        () => {
          const half = Math.ceil(own.length / 2)
          return own.length === 1
            ? Effect.logError(`message ${own[0]?.messageId} cannot be settled: it is too large`)
            : Effect.zipRight(settle(own.slice(0, half)), settle(own.slice(half)))
        }
      )
    }
    const confirm = (deliveries: ReadonlyArray<Delivery.Delivery>) =>
      deliveries.length === 0
        ? Effect.void
        : persistently(store.confirm(deliveries.map(({ message }) => message)))

    const step = Effect.gen(function* () {
      const batch = Chunk.toReadonlyArray(yield* Queue.takeBetween(queue, 1, maxBatch))
      const { confirmed, owed } = partition(batch)
      yield* confirm(confirmed)
      if (owed.length > 0) {
        yield* settle(owed.map(settlementOf))
        written(owed)
      }
      yield* inFlight.settled(batch)
      yield* Metric.set(OutboxMetrics.inFlight, inFlight.size)
    })
    return {
      offer: (deliveries) => Effect.asVoid(Queue.offerAll(queue, deliveries)),
      settle,
      run: Effect.forever(step)
    }
  })

const partition = (batch: ReadonlyArray<Delivery.Delivery>) => {
  const parts = {
    confirmed: [] as Array<Delivery.Delivery>,
    owed: [] as Array<Delivery.Delivery>,
    untouched: [] as Array<Delivery.Delivery>
  }
  for (const delivery of batch) parts[Delivery.outcomeOf(delivery)].push(delivery)
  return parts
}
