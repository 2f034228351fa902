import { Clock, type Context, Duration, Effect, Metric, Random } from "effect"
import type { Stop } from "./BatchOutcome.ts"
import { Circuit } from "./Circuit.ts"
import type { Delivery } from "./Delivery.ts"
import { LaneOrder, type OrderKey } from "./LaneOrder.ts"
import * as LaneVerdict from "./LaneVerdict.ts"
import type { Message } from "./Message.ts"
import * as MessageHeaders from "./MessageHeaders.ts"
import * as MonotonicClock from "./MonotonicClock.ts"
import type { OutboxError } from "./OutboxError.ts"
import * as LaneMetrics from "./LaneMetrics.ts"
import type { DeadLetter, Lease, OutboxStore } from "./OutboxStore.ts"
import type { AfterDeadLetter, RetryPolicy } from "./RelayPolicy.ts"
import type { Sink, SinkError } from "./Sink.ts"
import type * as Topic from "./Topic.ts"

/** Settings of one lane. */
export interface Options {
  /** Messages in one call of the sink, at most. */
  readonly batchSize: number
  /** Time limit of one call of the sink. */
  readonly timeout: Duration.DurationInput
  readonly retry: RetryPolicy
  readonly afterDeadLetter: AfterDeadLetter
  /** How long messages wait in memory for a sink that is away, before they are left behind. */
  readonly patience: Duration.DurationInput
  /** With so many messages in memory the lane falls behind, if others have nothing to do because of that. */
  readonly maxQueue: number
  /** Whether messages are left behind for a sink that is away or slow. Where there is but one sink, nobody waits for it. */
  readonly canFallBehind: boolean
  /** Pause between searches for what is behind although nobody has said so. */
  readonly sweepEvery: Duration.DurationInput
  /** Headers that become annotations of log lines about one message. */
  readonly carriedHeaders: ReadonlyArray<string>
}

/** What all lanes of a relay use. */
export interface Shared {
  readonly store: Context.Tag.Service<OutboxStore>
  /** Hands over deliveries that no lane owes any more. */
  readonly finished: (deliveries: ReadonlyArray<Delivery>) => Effect.Effect<void>
  /** The right to these slots as it is now. */
  readonly leaseOf: (slots: Iterable<number>) => Lease
  /** For calls that are made one at a time in the whole relay. */
  readonly alone: Effect.Semaphore
  /** Waits until the relay knows that its lease holds. */
  readonly permitted: Effect.Effect<void>
  /** Repeats a write until it is done; fails only when the lease is lost. */
  readonly persistently: <A>(write: Effect.Effect<A, OutboxError>) => Effect.Effect<A, OutboxError>
}

/** What the two workers of a lane share: one sends what flows, the other what is behind. Mutable; theirs alone. */
export interface LaneState {
  readonly sink: Sink
  readonly options: Options
  readonly metrics: LaneMetrics.LaneMetrics
  readonly shared: Shared
  readonly orderKey: OrderKey
  readonly order: LaneOrder
  readonly circuit: Circuit
  /** Deliveries that wait for their way to be decided, in order. */
  readonly queue: Array<Delivery>
  /** Opens when there is something in the queue. */
  readonly arrived: Effect.Latch
  /** Opens when something may be found behind. */
  readonly behindWork: Effect.Latch
  /** One call of the sink at a time. */
  readonly turn: Effect.Semaphore
  readonly owned: Set<number>
  /** Owned slots whose messages are marked before each call. */
  readonly suspects: Set<number>
  /** Slots that are about to go to another relay. */
  readonly yielding: Set<number>
  /** Open while there are such slots: nobody is to wait for a sink that is away. */
  readonly hurry: Effect.Latch
  /** Slots whose blocked keys have to be read. */
  readonly unread: Set<number>
}

/** What order is kept for: the key, or the message itself on unordered topics. */
export const orderKeyOf = (topics: ReadonlyArray<Pick<Topic.Any, "name" | "ordered">>): OrderKey => {
  const unordered = new Set(topics.filter((topic) => !topic.ordered).map((topic) => topic.name))
  return (message) => (unordered.has(message.topic) ? message.id : message.key)
}

export const make = (sink: Sink, options: Options, shared: Shared): LaneState => {
  const orderKey = orderKeyOf(sink.topics)
  return {
    sink,
    options,
    metrics: LaneMetrics.make(sink.name),
    shared,
    orderKey,
    order: new LaneOrder(orderKey),
    circuit: new Circuit(Duration.toMillis(options.patience)),
    queue: [],
    arrived: Effect.unsafeMakeLatch(),
    behindWork: Effect.unsafeMakeLatch(),
    turn: Effect.unsafeMakeSemaphore(1),
    owned: new Set(),
    suspects: new Set(),
    yielding: new Set(),
    hurry: Effect.unsafeMakeLatch(),
    unread: new Set()
  }
}

/** The lane has done its part. */
export const finish = (state: LaneState, deliveries: ReadonlyArray<Delivery>): Effect.Effect<void> => {
  const done = deliveries.filter((delivery) => --delivery.owed === 0)
  return done.length === 0 ? Effect.void : state.shared.finished(done)
}

/** The sink gets them later, from what is behind. */
export const leaveBehind = (state: LaneState, deliveries: ReadonlyArray<Delivery>): Effect.Effect<void> => {
  if (deliveries.length === 0) return Effect.void
  for (const delivery of deliveries) {
    delivery.behind.push(state.sink.name)
    // Of a slot that has gone nothing is written here any more.
    if (state.owned.has(delivery.message.slot)) state.order.leaving(delivery)
  }
  return Effect.zipRight(
    Metric.incrementBy(state.metrics.leftBehind, deliveries.length),
    finish(state, deliveries)
  )
}

/**
 * Everything that waits in memory is left behind, and what comes follows it. Messages of `busyKeys`, which are with the
 * sink just now, stay in the queue: a key is finished in order.
 */
export const fallBehind = (state: LaneState, busyKeys: ReadonlySet<string>): Effect.Effect<void> => {
  const candidates = [...state.order.fallBehind(state.owned), ...state.queue.splice(0)]
  const isBusy = ({ message }: Delivery) => busyKeys.has(state.orderKey(message))
  state.queue.push(...candidates.filter(isBusy))
  state.behindWork.unsafeOpen()
  return leaveBehind(
    state,
    candidates.filter((delivery) => !isBusy(delivery))
  )
}

/** What is behind or blocked in these slots is read anew; new messages wait for that. */
export const recheck = (state: LaneState, slots: Iterable<number>): void => {
  const read = [...slots]
  for (const slot of read) state.unread.add(slot)
  state.order.join(read)
  state.behindWork.unsafeOpen()
}

/** The store knows of the dead letters that park these keys. */
export const noteParked = (state: LaneState, keys: Iterable<string>): void => {
  const again = [...keys].flatMap((key) => state.order.parkWritten(key) ?? [])
  if (again.length > 0) recheck(state, again)
}

const hurriedPause = Duration.millis(50)

/** A pause that is cut short when slots are about to go. */
export const pause = (state: LaneState, millis: number): Effect.Effect<void> =>
  Effect.raceFirst(
    Effect.sleep(Duration.millis(millis)),
    Effect.zipRight(state.hurry.await, Effect.sleep(hurriedPause))
  )

/** What follows from a refusal now. */
export const judge = (state: LaneState, key: string, stop: Stop): Effect.Effect<LaneVerdict.Verdict> =>
  Effect.gen(function* () {
    return LaneVerdict.judge(stop, state.order.stoppedAt(key), state.options, {
      sink: state.sink.name,
      nowMillis: yield* MonotonicClock.millis,
      wallMillis: yield* Clock.currentTimeMillis,
      random: yield* Random.next,
      successes: state.circuit.successes,
      isOrdered: key === stop.refused.message.key
    })
  })

export const noteDead = (state: LaneState, message: Message, { error }: DeadLetter): Effect.Effect<void> =>
  Effect.zipRight(
    Metric.increment(state.metrics.dead),
    Effect.logError(`sink '${state.sink.name}' gave up on message ${message.id}: ${error}`)
  ).pipe(Effect.annotateLogs(MessageHeaders.carried(message.headers, state.options.carriedHeaders)))

export const noteSuccess = (state: LaneState): Effect.Effect<void> => {
  const wasFailing = state.circuit.isFailing
  state.circuit.succeed()
  if (!wasFailing) return Effect.void
  return Effect.zipRight(
    Metric.set(state.metrics.sinkOpen, 0),
    Effect.logInfo(`sink '${state.sink.name}' takes messages again`)
  )
}

const defaultRetryAfterMillis = 1_000
const maxRetryAfterMillis = 60_000

/** The sink did not take a batch. Returns the pause before the next call, in milliseconds. */
export const noteAway = (state: LaneState, error: SinkError, nowMillis: number): Effect.Effect<number> => {
  if (error.reason === "Throttled") {
    return Effect.succeed(Math.min(error.retryAfterMillis ?? defaultRetryAfterMillis, maxRetryAfterMillis))
  }
  return Effect.gen(function* () {
    const wasFailing = state.circuit.isFailing
    const pause = state.circuit.fail(nowMillis, yield* Random.next)
    yield* Metric.increment(state.metrics.unavailable)
    if (state.circuit.isOpen) yield* Metric.set(state.metrics.sinkOpen, 1)
    // Once an outage: what follows is in the metrics.
    if (!wasFailing) yield* Effect.logWarning(`${error.message}; its messages wait`)
    return pause
  })
}
