import { Clock, type Context, Data, Duration, Effect, Metric, Schedule } from "effect"
import * as Backoff from "./Backoff.ts"
import * as Delivery from "./Delivery.ts"
import type { InFlight } from "./InFlight.ts"
import * as MonotonicClock from "./MonotonicClock.ts"
import type { OutboxError } from "./OutboxError.ts"
import * as OutboxMetrics from "./OutboxMetrics.ts"
import type { OutboxStore, Position, Settlement, Stored } from "./OutboxStore.ts"
import type { RelayLane } from "./RelayLane.ts"
import type { Settler } from "./RelaySettler.ts"
import { SlowLanes } from "./SlowLanes.ts"

/**
 * - `paused`: the relay owns no slots;
 * - `catching-up`: reads the collection, one forward cursor after another; no feed is open;
 * - `live`: takes messages from the feed; the collection is swept rarely.
 */
export type Mode = "paused" | "catching-up" | "live"

export interface Options {
  /** A pass that found fewer new messages than this has caught up. */
  readonly caughtUpBelow: number
  /** A live reader that finds no room for so long closes its feed and goes back to reading the collection. */
  readonly fullAfter: Duration.DurationInput
  /** Pause between sweeps, at the least; a sweep that took long is followed by a pause of 100 times as long. */
  readonly sweepEvery: Duration.DurationInput
}

export interface Reader {
  readonly mode: () => Mode
  /** Works on these slots until interrupted; fails on what trying again does not mend. */
  readonly run: (slots: ReadonlyArray<number>) => Effect.Effect<never, OutboxError>
  /** Reads the collection of these slots once, besides: something there has become ready that no feed shows. */
  readonly look: (slots: ReadonlyArray<number>) => Effect.Effect<void, OutboxError>
  /** Sends records that are no messages to the dead letters. */
  readonly bury: (corrupt: ReadonlyArray<Stored>) => Effect.Effect<void, OutboxError>
}

export interface Environment {
  readonly store: Context.Tag.Service<OutboxStore>
  readonly inFlight: InFlight
  readonly lanes: ReadonlyArray<RelayLane>
  readonly settler: Settler
  /** Whether messages of a slot are to be taken in. */
  readonly takes: (slot: number) => boolean
}

/** The lanes have taken nothing for too long. Never leaves this file. */
class NoRoom extends Data.TaggedError("NoRoom") {}

const maxSweepShare = 0.01

const retrySchedule = Backoff.between("50 millis", "2 seconds").pipe(Schedule.resetAfter("10 seconds"))

/** A record that is no message concerns every sink, and no key that could wait for it. */
const corruptSettlement = (stored: Extract<Stored, { _tag: "Corrupt" }>, at: number): Settlement => ({
  messageId: stored.id,
  slot: stored.slot,
  behind: [],
  dead: [
    {
      messageId: stored.id,
      slot: stored.slot,
      sink: "*",
      reason: "Corrupt",
      error: stored.issues.join("; "),
      attempts: 0,
      blocks: false,
      history: [],
      at
    }
  ]
})

export const make = ({ inFlight, lanes, settler, store, takes }: Environment, options: Options): Reader => {
  let mode: Mode = "paused"
  const slowLanes = new SlowLanes()
  /** Two reads at once must not both take a message for new. */
  const turn = Effect.unsafeMakeSemaphore(1)
  const lanesByTopic = new Map<string, ReadonlyArray<RelayLane>>()
  const lanesOf = (topic: string): ReadonlyArray<RelayLane> => {
    const known = lanesByTopic.get(topic)
    if (known !== undefined) return known
    const found = lanes.filter((lane) => lane.sink.topics.some(({ name }) => name === topic))
    lanesByTopic.set(topic, found)
    return found
  }

  /** Hands deliveries to the lanes that want them; what no sink wants is delivered already. */
  const dispatch = (deliveries: ReadonlyArray<Delivery.Delivery>) => {
    const byLane = new Map<RelayLane, Array<Delivery.Delivery>>()
    const wantedByNone: Array<Delivery.Delivery> = []
    for (const delivery of deliveries) {
      const wanting = lanesOf(delivery.message.topic)
      if (wanting.length === 0) wantedByNone.push(delivery)
      for (const lane of wanting) {
        const share = byLane.get(lane)
        if (share === undefined) byLane.set(lane, [delivery])
        else share.push(delivery)
      }
    }
    return Effect.zipRight(
      Effect.forEach(byLane, ([lane, share]) => lane.offer(share), { discard: true }),
      settler.offer(wantedByNone)
    )
  }

  const deliveryOf = (stored: Delivery.StoredMessage, maxWeight: number) =>
    Delivery.make(stored, lanesOf(stored.message.topic).length, maxWeight)

  const bury = (records: ReadonlyArray<Stored>) =>
    Effect.gen(function* () {
      const at = yield* Clock.currentTimeMillis
      const corrupt = records.filter((record) => record._tag === "Corrupt")
      yield* Effect.logError(`${corrupt.length} corrupt outbox records go to the dead letters`)
      yield* settler.settle(corrupt.map((record) => corruptSettlement(record, at)))
    })

  /** Takes in what the relay does not know yet; returns how much that was. */
  const takeIn = (stored: ReadonlyArray<Stored>) =>
    Effect.gen(function* () {
      const messages: Array<Delivery.StoredMessage> = []
      const corrupt: Array<Stored> = []
      for (const record of stored) {
        if (record._tag === "Corrupt") corrupt.push(record)
        else if (takes(record.message.slot) && !inFlight.knows(record.message.id)) messages.push(record)
      }
      if (corrupt.length > 0) yield* bury(corrupt)
      if (messages.length > 0) {
        const admit = inFlight.admit(messages, deliveryOf, dispatch, takes)
        yield* inFlight.hasRoomFor(messages) ? admit : Effect.raceFirst(admit, slowLanes.relieve(lanes))
        yield* Metric.set(OutboxMetrics.inFlight, inFlight.size)
      }
      return messages.length
    }).pipe(turn.withPermits(1))

  /** The same while a feed is open: it costs the database, so nobody keeps one open that has no room. */
  const takeInLive = (stored: ReadonlyArray<Stored>) =>
    // A time limit costs as much as all the rest of the way: none where there is nothing to wait for.
    stored.every((record) => record._tag === "Message") && inFlight.hasRoomFor(stored)
      ? takeIn(stored)
      : Effect.timeoutFail(takeIn(stored), { duration: options.fullAfter, onTimeout: () => new NoRoom() })

  /** Reads the collection once, from the first slot to the last. Returns how many new messages it found. */
  const pass = <E>(
    slots: ReadonlyArray<number>,
    take: (stored: ReadonlyArray<Stored>) => Effect.Effect<number, E>,
    since?: Position
  ) =>
    Effect.scoped(
      Effect.gen(function* () {
        const cursor = yield* store.readReady({
          slots,
          ...(since === undefined ? {} : { since })
        })
        let found = 0
        for (;;) {
          const batch = yield* cursor.next
          if (batch.length === 0) return found
          found += yield* take(batch)
        }
      })
    )

  const catchUp = (slots: ReadonlyArray<number>) =>
    Effect.gen(function* () {
      mode = "catching-up"
      while ((yield* pass(slots, takeIn)) >= options.caughtUpBelow);
    })

  const sweep = (slots: ReadonlyArray<number>) =>
    Effect.gen(function* () {
      const [took] = yield* Effect.timed(pass(slots, takeInLive))
      const pause = Math.max(Duration.toMillis(options.sweepEvery), Duration.toMillis(took) / maxSweepShare)
      return (yield* MonotonicClock.millis) + pause
    })

  /** Ends when there was no room for too long. */
  const live = (slots: ReadonlyArray<number>) =>
    Effect.scoped(
      Effect.gen(function* () {
        // Opened before the last pass: what commits in between comes through both, and is known by its id.
        const feed = yield* store.watch(slots)
        yield* pass(slots, takeInLive, feed.position)
        mode = "live"
        let sweepAt = (yield* MonotonicClock.millis) + Duration.toMillis(options.sweepEvery)
        for (;;) {
          const batch = yield* feed.next
          if (batch.length > 0) {
            yield* takeInLive(batch)
            // Lanes first: to ask the database for more takes time that their messages would wait for.
            yield* Effect.yieldNow()
          }
          if ((yield* MonotonicClock.millis) >= sweepAt) sweepAt = yield* sweep(slots)
        }
      })
    ).pipe(Effect.catchTag("NoRoom", () => Effect.void))

  const run = (slots: ReadonlyArray<number>) => {
    if (slots.length === 0)
      return Effect.zipRight(
        Effect.sync(() => (mode = "paused")),
        Effect.never
      )
    return Effect.forever(Effect.zipRight(catchUp(slots), live(slots))).pipe(
      Effect.tapError((error) => {
        mode = "catching-up"
        return error.retryable ? Effect.logWarning(`${error.message}; reading again`) : Effect.void
      }),
      Effect.retry({ while: (error) => error.retryable, schedule: retrySchedule })
    )
  }

  return { mode: () => mode, run, look: (slots) => Effect.asVoid(pass(slots, takeIn)), bury }
}
