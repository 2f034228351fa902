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

/** Tries again whatever may pass; only a lost lease is final. */
const persistently = (write: Effect.Effect<void, OutboxError>) =>
  write.pipe(
    Effect.tapError((error) => Effect.logWarning(`${error.message}; trying again`)),
    Effect.retry({ while: (error) => error.reason !== "StaleLease", schedule: storeSchedule })
  )

/** Writes down what became of messages: one delete a batch when all is well. */
export interface Settler {
  readonly offer: (deliveries: ReadonlyArray<Delivery.Delivery>) => Effect.Effect<void>
  readonly settle: (settlements: ReadonlyArray<Settlement>) => Effect.Effect<void, OutboxError>
  /** Works until interrupted; fails with `StaleLease` when another relay has taken over. */
  readonly run: Effect.Effect<never, OutboxError>
}

export const make = (
  store: Context.Tag.Service<OutboxStore>,
  lease: Lease,
  inFlight: InFlight
): Effect.Effect<Settler> =>
  Effect.gen(function* () {
    // Not bounded here: what can be in it is bounded by `InFlight`.
    const queue = yield* Queue.unbounded<Delivery.Delivery>()
    const settle = (settlements: ReadonlyArray<Settlement>) =>
      settlements.length === 0 ? Effect.void : persistently(store.settle(lease, settlements))
    const confirm = (messageIds: ReadonlyArray<string>) =>
      messageIds.length === 0 ? Effect.void : persistently(store.confirm(messageIds))

    const step = Effect.gen(function* () {
      const batch = Chunk.toReadonlyArray(yield* Queue.takeBetween(queue, 1, maxBatch))
      const [owed, confirmed] = partition(batch)
      yield* confirm(confirmed.map((delivery) => delivery.message.id))
      yield* settle(owed.map(settlementOf))
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
  const owed: Array<Delivery.Delivery> = []
  const confirmed: Array<Delivery.Delivery> = []
  for (const delivery of batch) (Delivery.isConfirmed(delivery) ? confirmed : owed).push(delivery)
  return [owed, confirmed] as const
}
