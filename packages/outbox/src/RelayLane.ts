import { Array as Arr, Effect } from "effect"
import type { Delivery } from "./Delivery.ts"
import * as LaneCatchUp from "./LaneCatchUp.ts"
import * as LaneFlow from "./LaneFlow.ts"
import * as Lane from "./LaneState.ts"
import type { OutboxError } from "./OutboxError.ts"
import type { Sink } from "./Sink.ts"
import * as SinkCalls from "./SinkCalls.ts"
import type { CallWatch } from "./CallWatch.ts"

/**
 * - `flowing`: takes messages as they come;
 * - `behind`: works through what was left behind for it;
 * - `away`: its sink does not answer.
 */
export type LaneStatus = "flowing" | "behind" | "away"

/** The path of one sink inside a relay, or of those slots of it that one of several parallel lanes works on. */
export interface RelayLane {
  readonly sink: Sink
  /** Takes messages over, in order; never waits. */
  readonly offer: (deliveries: ReadonlyArray<Delivery>) => Effect.Effect<void>
  /** The writes that say what became of these have returned, or will never be made. */
  readonly written: (deliveries: ReadonlyArray<Delivery>) => void
  /** Slots that the relay owns from now on; something of them may be behind. */
  readonly gain: (slots: ReadonlyArray<number>, suspects: ReadonlyArray<number>) => void
  /** Somebody has changed what is behind or blocked in these slots. */
  readonly recheck: (slots: ReadonlyArray<number>) => void
  /** Slots are about to go: what is on its way may arrive, what cannot just now is left behind. */
  readonly yieldSlots: (slots: ReadonlySet<number>) => Effect.Effect<void>
  /** Whether something of these slots is with the sink that the relay's memory bound does not count. */
  readonly touches: (slots: ReadonlySet<number>) => boolean
  /** Leaves behind what waits in memory of these slots. */
  readonly letGo: (slots: ReadonlySet<number>) => Effect.Effect<void>
  /** The slots have gone. */
  readonly drop: (slots: ReadonlySet<number>) => Effect.Effect<void>
  /** Whether more messages wait in memory than may while other lanes have nothing to do. */
  readonly hasTooMany: () => boolean
  /** Whether it has nothing to send. */
  readonly isIdle: () => boolean
  /** Leaves behind what waits in memory, and what comes. */
  readonly fallBehind: Effect.Effect<void>
  /** Whether nothing of the slot is behind. */
  readonly flows: (slot: number) => boolean
  /** Nothing of the slot that could have killed a process is left. */
  readonly clearSuspect: (slot: number) => void
  readonly isSuspect: (slot: number) => boolean
  readonly status: () => LaneStatus
  readonly parkedKeys: () => number
  /** Works until interrupted; fails when the lease is lost. */
  readonly run: Effect.Effect<never, OutboxError>
}

const isIn =
  (slots: ReadonlySet<number>) =>
  ({ message }: Delivery): boolean =>
    slots.has(message.slot)

export const make = (sink: Sink, options: Lane.Options, shared: Lane.Shared): RelayLane => {
  const state = Lane.make(sink, options, shared)
  const { circuit, order, queue } = state
  const callsWith = (watch: CallWatch) =>
    SinkCalls.make({
      sink,
      watch,
      batchSize: options.batchSize,
      orderKey: state.orderKey,
      permitted: shared.permitted,
      owns: (slot) => state.owned.has(slot),
      isSuspect: (slot) => state.suspects.has(slot),
      alone: shared.alone,
      mark: (messages, to) =>
        shared.persistently(
          Effect.suspend(() =>
            shared.store.mark(shared.leaseOf(messages.map(({ slot }) => slot)), sink.name, messages, to)
          )
        )
    })
  const flow = LaneFlow.make(state, callsWith)
  const catchUp = LaneCatchUp.make(state, callsWith, flow.busyKeys)

  const takeFromQueue = (slots: ReadonlySet<number>): ReadonlyArray<Delivery> => {
    const [rest, taken] = Arr.partition(queue.splice(0), isIn(slots))
    queue.push(...rest)
    return taken
  }

  const noteWritten = (delivery: Delivery) => {
    if (delivery.behind.includes(sink.name)) order.left(delivery)
    if (delivery.dead.some((letter) => letter.sink === sink.name)) {
      Lane.noteParked(state, [state.orderKey(delivery.message)])
    }
  }

  return {
    sink,
    offer: (deliveries) =>
      Effect.suspend(() => {
        const [others, mine] = Arr.partition(deliveries, isIn(state.owned))
        queue.push(...mine)
        state.arrived.unsafeOpen()
        return Lane.leaveBehind(state, others)
      }),
    written: (deliveries) => {
      deliveries.forEach(noteWritten)
      if (!order.flows) state.behindWork.unsafeOpen()
    },
    gain: (slots, suspects) => {
      for (const slot of slots) state.owned.add(slot)
      for (const slot of suspects) state.suspects.add(slot)
      Lane.recheck(state, slots)
    },
    recheck: (slots) => Lane.recheck(state, slots),
    yieldSlots: (slots) =>
      Effect.uninterruptible(
        Effect.suspend(() => {
          for (const slot of slots) state.yielding.add(slot)
          state.hurry.unsafeOpen()
          // What is behind already stays so; what flows may still arrive, if the sink is there.
          const waited = order.fallBehind(
            circuit.isFailing ? slots : [...slots].filter((slot) => order.hasSlot(slot))
          )
          return Lane.leaveBehind(state, circuit.isFailing ? [...waited, ...takeFromQueue(slots)] : waited)
        })
      ),
    touches: catchUp.touches,
    letGo: (slots) => Effect.suspend(() => Lane.leaveBehind(state, order.leaveWaiting(slots))),
    drop: (slots) =>
      Effect.suspend(() => {
        const left = [...order.fallBehind(slots), ...takeFromQueue(slots)]
        order.drop(slots)
        for (const set of [state.owned, state.suspects, state.yielding, state.unread]) {
          for (const slot of slots) set.delete(slot)
        }
        if (state.yielding.size === 0) state.hurry.unsafeClose()
        return Lane.leaveBehind(state, left)
      }),
    hasTooMany: () => options.canFallBehind && queue.length + order.waiting >= options.maxQueue,
    isIdle: () => queue.length + order.waiting === 0 && flow.isIdle(),
    fallBehind: Effect.uninterruptible(Effect.suspend(() => Lane.fallBehind(state, flow.busyKeys()))),
    flows: (slot) => !order.hasSlot(slot),
    clearSuspect: (slot) => void state.suspects.delete(slot),
    isSuspect: (slot) => state.suspects.has(slot),
    status: () => (circuit.isFailing ? "away" : order.flows ? "flowing" : "behind"),
    parkedKeys: () => order.parkedKeys,
    run: Effect.raceFirst(flow.run, catchUp.run)
  }
}

/** A lane that works with several calls at once, each on slots of its own, so that the order of keys stays. */
export const makeParallel = (
  sink: Sink,
  options: Lane.Options,
  shared: Lane.Shared,
  concurrency: number
): RelayLane => {
  if (concurrency <= 1) return make(sink, options, shared)
  const share = { ...options, maxQueue: Math.ceil(options.maxQueue / concurrency) }
  const lanes = Array.from({ length: concurrency }, () => make(sink, share, shared))
  const laneOf = (slot: number) => lanes[slot % concurrency] as RelayLane
  const partOf = (slots: Iterable<number>, lane: RelayLane) =>
    [...slots].filter((slot) => laneOf(slot) === lane)
  const each = (work: (lane: RelayLane) => Effect.Effect<void>) =>
    Effect.forEach(lanes, work, { discard: true })
  const statuses = () => new Set(lanes.map((lane) => lane.status()))
  return {
    sink,
    offer: (deliveries) =>
      each((lane) => {
        const part = deliveries.filter(({ message }) => laneOf(message.slot) === lane)
        return part.length === 0 ? Effect.void : lane.offer(part)
      }),
    written: (deliveries) => {
      for (const lane of lanes) {
        lane.written(deliveries.filter(({ message }) => laneOf(message.slot) === lane))
      }
    },
    gain: (slots, suspects) =>
      lanes.forEach((lane) => lane.gain(partOf(slots, lane), partOf(suspects, lane))),
    recheck: (slots) => lanes.forEach((lane) => lane.recheck(partOf(slots, lane))),
    yieldSlots: (slots) => each((lane) => lane.yieldSlots(new Set(partOf(slots, lane)))),
    letGo: (slots) => each((lane) => lane.letGo(new Set(partOf(slots, lane)))),
    touches: (slots) => lanes.some((lane) => lane.touches(slots)),
    drop: (slots) => each((lane) => lane.drop(new Set(partOf(slots, lane)))),
    hasTooMany: () => lanes.some((lane) => lane.hasTooMany()),
    isIdle: () => lanes.every((lane) => lane.isIdle()),
    fallBehind: each((lane) => lane.fallBehind),
    flows: (slot) => laneOf(slot).flows(slot),
    clearSuspect: (slot) => laneOf(slot).clearSuspect(slot),
    isSuspect: (slot) => laneOf(slot).isSuspect(slot),
    status: () => (statuses().has("away") ? "away" : statuses().has("behind") ? "behind" : "flowing"),
    parkedKeys: () => lanes.reduce((sum, lane) => sum + lane.parkedKeys(), 0),
    run: Effect.zipRight(
      Effect.all(
        lanes.map((lane) => lane.run),
        { concurrency: "unbounded", discard: true }
      ),
      Effect.never
    )
  }
}
