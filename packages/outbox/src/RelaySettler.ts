import { Array as Arr, type Context, Duration, Effect, Metric } from "effect"
import * as Backoff from "./Backoff.ts"
import * as Delivery from "./Delivery.ts"
import type { InFlight } from "./InFlight.ts"
import type { OrderKey } from "./LaneOrder.ts"
import type { OutboxError } from "./OutboxError.ts"
import * as OutboxMetrics from "./OutboxMetrics.ts"
import type { Lease, OutboxStore, Settlement } from "./OutboxStore.ts"
import * as RelaySpans from "./RelaySpans.ts"

/** Messages settled in one write, at most. */
const maxBatch = 1_000

/** So many that wait are a crowd, which is written beside the write that is under way: half of that is waiting for a majority. */
const maxCrowd = maxBatch / 2

/** Of what the relay holds in memory, at most so much is gathered. */
const crowdShare = 1 / 4

/** Nobody waits for a message to be deleted, or for what a sink owes to be written: a moment later it is one write with others. */
const gatherFor = Duration.millis(20)

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
  readonly orderKey: OrderKey
  /** Whether one of this relay's sinks wants a topic. */
  readonly isWanted: (topic: string) => boolean
  /** Waits until the relay knows that its lease holds. */
  readonly permitted: Effect.Effect<void>
  /** Registered sinks that want a topic and that this relay does not have. */
  readonly missingSinks: (topic: string) => ReadonlyArray<string>
  /** Has the lanes leave behind what only waits in these slots: what is held here may be what they wait for. */
  readonly letGo: (slots: ReadonlySet<number>) => Effect.Effect<void>
  /** Is told of deliveries whose writes have returned. */
  readonly written: (deliveries: ReadonlyArray<Delivery.Delivery>) => void
}

export const make = ({
  inFlight,
  isWanted,
  leaseOf,
  letGo,
  missingSinks,
  orderKey,
  owns,
  permitted,
  store,
  written
}: Environment): Effect.Effect<Settler> =>
  Effect.gen(function* () {
    /** Bounded by what the relay lets in: see `InFlight`. A queue would hand its first item over alone, and double the writes. */
    const waiting: Array<Delivery.Delivery> = []
    const crowd = Math.min(maxCrowd, Math.ceil(inFlight.maxWeight * crowdShare))
    const arrived = yield* Effect.makeLatch()
    const crowded = yield* Effect.makeLatch()
    const setLatches = () => {
      if (waiting.length > 0) arrived.unsafeOpen()
      else arrived.unsafeClose()
      if (waiting.length >= crowd) crowded.unsafeOpen()
      else crowded.unsafeClose()
    }

    /** What is too large for one write is written in halves. One settlement that is too large by itself stays undone. */
    const settle = (settlements: ReadonlyArray<Settlement>): Effect.Effect<void, OutboxError> => {
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

    /**
     * What some sink does not have, and that cannot be written down yet: an earlier message of its key is still with
     * some lane. Were the later one written first, whoever reads what is behind would send it first.
     */
    let held: ReadonlyArray<Delivery.Delivery> = []

    const settleOwed = (owed: ReadonlyArray<Delivery.Delivery>) =>
      Effect.gen(function* () {
        // A slot that has gone is somebody else's: there its messages are still what they were.
        const isOwn = (one: Delivery.Delivery) => owns(one.message.slot) && inFlight.has(one)
        const [gone, own] = Arr.partition([...held, ...owed], isOwn)
        const { early, ripe } = splitByOrder(own, inFlight, orderKey)
        held = early
        if (early.length > 0) yield* letGo(new Set(early.map(({ message }) => message.slot)))
        yield* RelaySpans.settle(undefined, ripe.length)(settle(ripe.map(settlementOf)))
        written([...ripe, ...gone])
        yield* inFlight.settled(ripe)
        yield* inFlight.dropped(gone)
      })

    /** Each write of these is a transaction. */
    const gathered: Array<Delivery.Delivery> = []
    const isOwed = yield* Effect.makeLatch()
    const gather = (owed: ReadonlyArray<Delivery.Delivery>) => {
      gathered.push(...owed)
      isOwed.unsafeOpen()
    }
    const settleGathered = Effect.gen(function* () {
      yield* isOwed.await
      if (gathered.length < maxBatch) yield* Effect.sleep(gatherFor)
      const owed = gathered.splice(0, maxBatch)
      if (gathered.length === 0) isOwed.unsafeClose()
      yield* settleOwed(owed)
    })

    const gatherWaiting = Effect.suspend(() =>
      waiting.length < crowd ? Effect.sleep(gatherFor) : Effect.void
    )

    const step = Effect.gen(function* () {
      const batch = waiting.splice(0, maxBatch)
      setLatches()
      if (batch.length === 0) return
      // No call was made for these: who else wants them is known well enough only while the lease holds.
      if (batch.some(({ message }) => !isWanted(message.topic))) yield* permitted
      // Asked for now, not when they were taken in: the calls since then were made while the lease held.
      for (const { behind, message } of batch) behind.push(...missingSinks(message.topic))
      const [owed, confirmed] = Arr.partition(batch, Delivery.isConfirmed)
      yield* confirm(confirmed)
      yield* inFlight.settled(confirmed)
      // Also when nothing is owed anew: what was confirmed may be what others were held for.
      if (owed.length + held.length > 0) gather(owed)
      yield* Metric.set(OutboxMetrics.inFlight, inFlight.size)
    })
    return {
      offer: (deliveries) =>
        Effect.sync(() => {
          waiting.push(...deliveries)
          setLatches()
        }),
      settle,
      run: Effect.zipRight(
        Effect.all(
          [
            Effect.forever(Effect.zipRight(arrived.await, Effect.zipRight(gatherWaiting, step))),
            Effect.forever(Effect.zipRight(crowded.await, step)),
            Effect.forever(settleGathered)
          ],
          { concurrency: "unbounded" }
        ),
        Effect.never
      )
    }
  })

/**
 * Splits what is owed into what may be written down now and what comes too early: an earlier message of its key is
 * still with some lane, or on its way here.
 */
const splitByOrder = (owed: ReadonlyArray<Delivery.Delivery>, inFlight: InFlight, orderKey: OrderKey) => {
  const own = new Set(owed)
  const keys = new Set(owed.map(({ message }) => orderKey(message)))
  const waiting = new Set<string>()
  const ripe: Array<Delivery.Delivery> = []
  const early: Array<Delivery.Delivery> = []
  for (const delivery of inFlight.ofKeys(keys, orderKey)) {
    const key = orderKey(delivery.message)
    if (own.has(delivery)) (waiting.has(key) ? early : ripe).push(delivery)
    else if (delivery.owed > 0 || !Delivery.isConfirmed(delivery)) waiting.add(key)
  }
  return { ripe, early }
}
