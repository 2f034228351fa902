import { Array as Arr, Clock, Effect, Metric } from "effect"
import * as BatchOutcome from "./BatchOutcome.ts"
import * as CallWatch from "./CallWatch.ts"
import type { Delivery } from "./Delivery.ts"
import * as Lane from "./LaneState.ts"
import * as MonotonicClock from "./MonotonicClock.ts"
import type { OutboxError } from "./OutboxError.ts"
import type { SinkError } from "./Sink.ts"
import type * as SinkCalls from "./SinkCalls.ts"

/** Calls with one batch that may end by the time limit before the batch is left behind, to be looked at in parts. */
const maxTimeouts = 2

/** The worker of a lane that sends what flows: from memory, in the order of arrival. */
export interface LaneFlow {
  /** Works until interrupted; fails when the lease is lost. */
  readonly run: Effect.Effect<never, OutboxError>
  /** Order keys of what is with the sink just now, or will be with the next call. */
  readonly busyKeys: () => ReadonlySet<string>
  /** Whether nothing is. */
  readonly isIdle: () => boolean
}

export const make = (
  state: Lane.LaneState,
  callsWith: (watch: CallWatch.CallWatch) => SinkCalls.SinkCalls
): LaneFlow => {
  const { circuit, metrics, options, order, orderKey, queue, sink } = state
  const watch = CallWatch.make(sink.name, options.timeout)
  const calls = callsWith(watch)

  /** Under way. After a call that took too long all of it is sent again: twice is harmless. */
  let current: ReadonlyArray<Delivery> = []
  let timeouts = 0

  /** Decides the way of what is in the queue, until a batch is full. */
  const decide = () => {
    const flow: Array<Delivery> = []
    const behind: Array<Delivery> = []
    let at = 0
    for (; at < queue.length && flow.length < options.batchSize; at++) {
      const delivery = queue[at] as Delivery
      const way = order.wayOf(delivery.message)
      if (way === "flow") flow.push(delivery)
      // The next owner of its slot reads what is behind before anything else.
      else if (way === "wait" && !state.yielding.has(delivery.message.slot)) order.keep(delivery)
      else behind.push(delivery)
    }
    queue.splice(0, at)
    return { flow, behind }
  }

  /** Not interruptible: a time limit that expires just now must not hit it between taking messages and noting them. */
  const take = Effect.uninterruptible(
    Effect.suspend(() => {
      const { behind, flow } = decide()
      current = flow
      return Lane.leaveBehind(state, behind)
    })
  )

  const noteLatency = (confirmed: ReadonlyArray<Delivery>, now: number) => {
    for (const { message } of confirmed) {
      metrics.latency.unsafeUpdate(Math.max(0, now - message.createdAt) / 1_000, [])
    }
  }

  /** What is refused is sent again from behind, or is dead; what follows it of its key waits with it. */
  const stop = (key: string, stopped: BatchOutcome.Stop) =>
    Effect.gen(function* () {
      const { followers, refused } = stopped
      const verdict = yield* Lane.judge(state, key, stopped)
      if (verdict._tag === "Retry") {
        const waited = order.stop(key, verdict.stopped)
        state.behindWork.unsafeOpen()
        return yield* Lane.leaveBehind(state, [refused, ...followers, ...waited])
      }
      const { letter } = verdict
      refused.dead.push(letter)
      if (letter.blocks) order.park(key, letter.slot)
      else current = [...followers, ...current]
      yield* Lane.noteDead(state, refused.message, letter)
      yield* Lane.finish(state, [refused])
      return yield* letter.blocks ? Lane.leaveBehind(state, followers) : Effect.void
    })

  const conclude = ({ answered, gone, left, rejections }: SinkCalls.Sent) =>
    Effect.gen(function* () {
      const { confirmed, stops } = BatchOutcome.split(answered, rejections, orderKey)
      const wall = yield* Clock.currentTimeMillis
      current = left
      yield* Metric.update(metrics.batchSize, answered.length)
      yield* Metric.incrementBy(metrics.delivered, confirmed.length)
      noteLatency(confirmed, wall)
      yield* Lane.finish(state, confirmed)
      yield* Lane.leaveBehind(state, gone)
      if (stops.size === 0) return
      yield* Metric.incrementBy(metrics.rejected, rejections.length)
      for (const [key, stopped] of stops) yield* stop(key, stopped)
      yield* leaveWhatMayNotFlow
    })

  /** Of what is left, some may follow a key that has just stopped. */
  const leaveWhatMayNotFlow = Effect.suspend(() => {
    const [goes, stays] = Arr.partition(current, ({ message }) => order.wayOf(message) === "flow")
    current = stays
    return Lane.leaveBehind(state, goes)
  })

  /** The sink is away: what it has not taken waits here, or goes behind once that has taken too long. */
  const away = (error: SinkError) =>
    Effect.gen(function* () {
      const now = yield* MonotonicClock.millis
      const pause = yield* Lane.noteAway(state, error, now)
      yield* Effect.uninterruptible(letGo(error))
      if (current.length === 0) return
      yield* Lane.pause(state, pause)
      yield* Effect.uninterruptible(leaveYielding)
    })

  const letGo = (error: SinkError) =>
    Effect.suspend(() => {
      const batch = current
      if (error.reason === "Timeout" && (timeouts += 1) >= maxTimeouts) {
        timeouts = 0
        current = []
        const slots = new Set(batch.map(({ message }) => message.slot))
        const waited = order.fallBehind(slots)
        state.behindWork.unsafeOpen()
        return Lane.leaveBehind(state, [...batch, ...waited])
      }
      if (circuit.isOpen && options.canFallBehind) {
        current = []
        return Effect.zipRight(Lane.leaveBehind(state, batch), Lane.fallBehind(state, new Set()))
      }
      return leaveYielding
    })

  /** The sink is away, and the next owner of these slots may wait for it as well. */
  const leaveYielding = Effect.suspend(() => {
    if (state.yielding.size === 0) return Effect.void
    const [stays, left] = Arr.partition(current, ({ message }) => state.yielding.has(message.slot))
    current = stays
    // What comes of these slots follows it.
    const waited = order.fallBehind(new Set(left.map(({ message }) => message.slot)))
    return Lane.leaveBehind(state, [...left, ...waited])
  })

  const send = Effect.gen(function* () {
    const sent = yield* state.turn.withPermits(1)(calls(current))
    // From here on an interruption must not have it sent again.
    yield* Effect.uninterruptible(conclude(sent))
    if (sent.error !== undefined) return yield* away(sent.error)
    timeouts = 0
    return yield* Lane.noteSuccess(state)
  })

  const step = Effect.suspend(() => {
    if (current.length > 0) return send
    if (queue.length > 0) return take
    // Closed here alone: others empty the queue as well.
    state.arrived.unsafeClose()
    return state.arrived.await
  })

  const run: Effect.Effect<never, OutboxError> = Effect.suspend(() =>
    Effect.raceFirst(Effect.forever(step), watch.expired)
  ).pipe(Effect.catchTag("SinkError", (error) => Effect.zipRight(away(error), run)))

  return {
    run,
    busyKeys: () => new Set(current.map(({ message }) => orderKey(message))),
    isIdle: () => current.length === 0
  }
}
