import { Array as Arr, Data, Duration, Effect, Exit, Metric } from "effect"
import * as Backoff from "./Backoff.ts"
import * as BatchOutcome from "./BatchOutcome.ts"
import * as CallWatch from "./CallWatch.ts"
import * as Delivery from "./Delivery.ts"
import * as Lane from "./LaneState.ts"
import * as Key from "./Key.ts"
import type * as Message from "./Message.ts"
import * as MonotonicClock from "./MonotonicClock.ts"
import type { OutboxError } from "./OutboxError.ts"
import type { DeadLetter, Stored } from "./OutboxStore.ts"
import * as RelaySpans from "./RelaySpans.ts"
import type { Rejection, SinkError } from "./Sink.ts"
import * as SinkCalls from "./SinkCalls.ts"
import * as Slot from "./Slot.ts"

/** The sink did not take a batch; the pass ends. Never leaves this file. */
class Away extends Data.TaggedError("Away")<{ readonly error: SinkError }> {}

/** Stopped keys that a read is told to leave out; more of them are left out here. */
const maxWithout = 1_000

/** Between passes that find nothing. */
const leastWaitMillis = 20

/** Slow messages tried in one pass. */
const maxSlowOnes = 100

/** After a call that took too long, batches are so many times smaller. */
const shrinkFactor = 8

/** The worker of a lane that sends what is behind: from the store, in passes, until new messages can flow again. */
export interface LaneCatchUp {
  /** Works until interrupted; fails when the lease is lost. */
  readonly run: Effect.Effect<never, OutboxError>
  /** Whether messages of these slots are with the sink just now, or their outcome is being written. */
  readonly touches: (slots: ReadonlySet<number>) => boolean
}

/** @param busyKeys order keys of what the other worker has with the sink */
export const make = (
  state: Lane.LaneState,
  callsWith: (watch: CallWatch.CallWatch) => SinkCalls.SinkCalls,
  busyKeys: () => ReadonlySet<string>
): LaneCatchUp => {
  const { circuit, metrics, options, order, orderKey, shared, sink } = state
  const { store } = shared
  const watch = CallWatch.make(sink.name, options.timeout)
  const calls = callsWith(watch)
  /** A pass that finds fewer messages than this lets new ones wait for the next. */
  const joinBelow = 2 * options.batchSize
  const sweepMillis = Duration.toMillis(options.sweepEvery)

  /** With the sink, or about to be. */
  let current: ReadonlyArray<Delivery.Delivery> = []
  let sizeLimit = options.batchSize
  /** Keys that have stopped in this pass: what follows of them waits for the next. */
  let stoppedNow = new Set<string>()
  let sweptAt = -Infinity

  /** Blocked keys are read after their slots have begun to join, so that none is missed. */
  const readBlockedKeys = Effect.suspend(() => {
    if (state.unread.size === 0) return Effect.void
    const slots = new Set(state.unread)
    const known = order.writtenParked(slots)
    // Whoever adds one of them again means another read.
    state.unread.clear()
    return store.blockedKeys({ sink: sink.name, slots: [...slots] }).pipe(
      Effect.map((keys) => {
        const bySlot = keys.map((key) => [key, Slot.ofKey(key)] as const)
        order.setParked(
          known,
          bySlot.filter(([, slot]) => state.owned.has(slot))
        )
      }),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit)) for (const slot of slots) state.unread.add(slot)
        })
      )
    )
  })

  const isMine = (slot: number) => state.owned.has(slot) && !state.yielding.has(slot)

  const topics = new Set(sink.topics.map(({ name }) => name))

  /** What of a read may be sent: slots can go and keys can stop while it goes on. */
  const sendable = (stored: ReadonlyArray<Stored>, stoppedAtStart: ReadonlySet<string>) =>
    stored.flatMap((record) => {
      if (record._tag === "Corrupt" || !isMine(record.message.slot)) return []
      // What another version of the program has the sink take stays behind for that one.
      if (!order.isWithinRead(record.message) || !topics.has(record.message.topic)) return []
      const key = orderKey(record.message)
      return stoppedAtStart.has(key) || stoppedNow.has(key) ? [] : [Delivery.make(record, 1, Infinity)]
    })

  /** The key stops, and what waited for its stretch goes behind, too. A dead letter comes back to be written. */
  const stop = (key: string, stopped: BatchOutcome.Stop) =>
    Effect.gen(function* () {
      const verdict = yield* Lane.judge(state, key, stopped)
      stoppedNow.add(key)
      if (verdict._tag === "Retry") {
        yield* Lane.leaveBehind(state, order.stop(key, verdict.stopped))
        return []
      }
      const { letter } = verdict
      if (letter.blocks) {
        order.park(key, letter.slot)
        return [letter]
      }
      // What follows is due at once, but in the next pass: this one has left out some of it.
      const dueMillis = yield* MonotonicClock.millis
      const { slot } = letter
      const goesOn = { slot, attempts: 0, dueMillis, history: [], isSlow: false }
      yield* Lane.leaveBehind(state, order.stop(key, { ...goesOn, successes: circuit.successes }))
      return [letter]
    })

  const conclude = (answered: ReadonlyArray<Delivery.Delivery>, rejections: ReadonlyArray<Rejection>) =>
    Effect.gen(function* () {
      const { confirmed, stops } = BatchOutcome.split(answered, rejections, orderKey)
      const dead: Array<DeadLetter> = []
      for (const { message } of confirmed) order.goOn(orderKey(message))
      for (const [key, stopped] of stops) dead.push(...(yield* stop(key, stopped)))
      yield* write(
        confirmed.map(({ message }) => message),
        dead
      )
      yield* Metric.incrementBy(metrics.delivered, confirmed.length)
      yield* Metric.incrementBy(metrics.rejected, rejections.length)
      for (const letter of dead) {
        const refused = answered.find(({ message }) => message.id === letter.messageId)
        if (refused !== undefined) yield* Lane.noteDead(state, refused.message, letter)
      }
      Lane.noteParked(state, stops.keys())
    })

  /** What is too large for one write is written in parts. What is too large by itself is sent again with a later pass. */
  const write = (
    confirmed: ReadonlyArray<Message.Message>,
    dead: ReadonlyArray<DeadLetter>
  ): Effect.Effect<void, OutboxError> => {
    const count = confirmed.length + dead.length
    if (count === 0) return Effect.void
    const slots = [...confirmed, ...dead].map(({ slot }) => slot)
    const whole = Effect.suspend(() =>
      store.settleBehind(shared.leaseOf(slots), sink.name, { confirmed, dead })
    )
    return shared.persistently(whole).pipe(
      RelaySpans.settle(sink.name, count),
      Effect.catchIf(
        (error) => error.reason === "TooLarge" && count > 1,
        () => {
          if (confirmed.length > 0 && dead.length > 0) {
            return Effect.zipRight(write(confirmed, []), write([], dead))
          }
          const [some, others] = Arr.splitAt(confirmed, Math.ceil(confirmed.length / 2))
          const [few, rest] = Arr.splitAt(dead, Math.ceil(dead.length / 2))
          return Effect.zipRight(write(some, few), write(others, rest))
        }
      )
    )
  }

  const send = (batch: ReadonlyArray<Delivery.Delivery>) =>
    Effect.gen(function* () {
      current = batch
      const sent = yield* state.turn.withPermits(1)(calls(batch))
      yield* Effect.uninterruptible(conclude(sent.answered, sent.rejections))
      current = []
      if (sent.error !== undefined) return yield* new Away({ error: sent.error })
      sizeLimit = Math.min(options.batchSize, sizeLimit * 2)
      return yield* Lane.noteSuccess(state)
    })

  const isSlow = ({ message }: Delivery.Delivery) => order.stoppedAt(orderKey(message))?.isSlow === true

  /** The first message of each slow key that a pass has found: they are sent last, so that nobody waits for them. */
  let slowOnes: Array<Delivery.Delivery> = []

  /** Puts slow keys off to the end of the pass, and what follows of them to the next. */
  const putOff = (piece: ReadonlyArray<Delivery.Delivery>) => {
    const slow = piece.filter(isSlow)
    if (slow.length === 0) return piece
    for (const delivery of slow) {
      const key = orderKey(delivery.message)
      if (!stoppedNow.has(key) && slowOnes.length < maxSlowOnes) slowOnes.push(delivery)
      stoppedNow.add(key)
    }
    return piece.filter((delivery) => !slow.includes(delivery))
  }

  /** Sends what a read has found, piece by piece. Returns how many messages that were. */
  const sendAll = (stored: ReadonlyArray<Stored>, stoppedAtStart: ReadonlySet<string>) =>
    Effect.gen(function* () {
      let found = 0
      for (let at = 0; at < stored.length;) {
        const piece = putOff(sendable(stored.slice(at, at + sizeLimit), stoppedAtStart))
        at += sizeLimit
        found += piece.length
        if (piece.length > 0) yield* send(piece)
      }
      return found
    })

  /** Messages behind of which nobody has said so: what comes after them is to follow them. */
  const noteStrays = (stored: ReadonlyArray<Stored>) => {
    for (const record of stored) {
      if (record._tag === "Message" && order.wayOf(record.message) === "flow") {
        order.join([record.message.slot])
      }
    }
  }

  /** One forward read of what is behind. Returns how many messages it sent. */
  const pass = (slots: ReadonlyArray<number>) =>
    Effect.scoped(
      Effect.gen(function* () {
        const now = yield* MonotonicClock.millis
        order.beginRead()
        const settled = order.settled(new Set([...state.unread, ...state.yielding]))
        const due = order.dueKeys(now)
        const stopped = order.stoppedKeys(now)
        const without = [...stopped].filter(Key.isKey).slice(0, maxWithout)
        stoppedNow = new Set()
        slowOnes = []
        let found = 0
        const cursor = yield* store.readBehind({ sink: sink.name, slots, without })
        for (let batch = yield* cursor.next; batch.length > 0; batch = yield* cursor.next) {
          noteStrays(batch)
          found += yield* sendAll(batch, stopped)
        }
        for (const delivery of slowOnes) yield* send([delivery])
        found += slowOnes.length
        // A key that was due and has nothing left behind goes on: somebody took its message away.
        for (const key of due) if (!stoppedNow.has(key)) order.goOn(key)
        state.queue.unshift(...order.flow(settled))
        if (state.queue.length > 0) state.arrived.unsafeOpen()
        return found
      })
    )

  const slotsToRead = (now: number) => {
    const isSweep = now - sweptAt >= sweepMillis
    if (isSweep) sweptAt = now
    return [...(isSweep ? state.owned : order.slots)].filter(isMine)
  }

  /** Until something is left behind, a key is due, or it is time to look although nobody has said so. */
  const waitForWork = Effect.gen(function* () {
    const due = (order.nextDueMillis ?? Infinity) - (yield* MonotonicClock.millis)
    // A key that is due can still be on its way to where passes find it.
    const limit = Math.min(Math.max(leastWaitMillis, due), sweepMillis)
    yield* Effect.timeoutOption(state.behindWork.await, Duration.millis(limit))
  })

  const step = Effect.gen(function* () {
    state.behindWork.unsafeClose()
    yield* readBlockedKeys
    const slots = slotsToRead(yield* MonotonicClock.millis)
    const found = slots.length === 0 ? 0 : yield* pass(slots)
    const hasJoined = found < joinBelow && slots.length > 0 && order.joinAll(state.yielding)
    if (found === 0 && !hasJoined) yield* waitForWork
  })

  /** What took too long is sent in smaller parts; a message by itself stops its key, so that others can be tried. */
  const blame = (error: SinkError) =>
    Effect.suspend(() => {
      const [first, ...rest] = current
      if (first === undefined || rest.length > 0) {
        sizeLimit = Math.max(1, Math.floor(current.length / shrinkFactor))
        return Effect.void
      }
      return conclude([first], [SinkCalls.blamed(first.message, error)])
    })

  const away = (error: SinkError) =>
    Effect.gen(function* () {
      const pause = yield* Lane.noteAway(state, error, yield* MonotonicClock.millis)
      if (error.reason === "Timeout") yield* Effect.uninterruptible(blame(error))
      current = []
      if (circuit.isOpen && options.canFallBehind) {
        yield* Effect.uninterruptible(Lane.fallBehind(state, busyKeys()))
      }
      yield* Lane.pause(state, pause)
    })

  /** The store is away, or has lost a read: the next pass finds what this one has not. */
  const steadily = Effect.retry(step, {
    while: (error) => error._tag === "OutboxError" && error.reason !== "StaleLease",
    schedule: Backoff.between("100 millis", "5 seconds")
  })

  const run: Effect.Effect<never, OutboxError> = Effect.suspend(() =>
    Effect.raceFirst(Effect.forever(steadily), watch.expired)
  ).pipe(
    Effect.catchTags({
      Away: ({ error }) => Effect.zipRight(away(error), run),
      SinkError: (error) => Effect.zipRight(away(error), run)
    })
  )

  return { run, touches: (slots) => current.some(({ message }) => slots.has(message.slot)) }
}
