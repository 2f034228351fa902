import {
  Array as Arr,
  Cause,
  Clock,
  Duration,
  Effect,
  Either,
  Metric,
  Option,
  Random,
  Schedule
} from "effect"
import * as CallWatch from "./CallWatch.ts"
import * as Backoff from "./Backoff.ts"
import type { Delivery } from "./Delivery.ts"
import { LaneKeys } from "./LaneKeys.ts"
import type { Message } from "./Message.ts"
import * as OutboxMetrics from "./OutboxMetrics.ts"
import type { DeadLetter } from "./OutboxStore.ts"
import type { AfterDeadLetter, RetryPolicy } from "./RelayPolicy.ts"
import { type Rejection, type Sink, SinkError } from "./Sink.ts"

export interface Options {
  /** Messages in one call of the sink, at most. */
  readonly batchSize: number
  /** Time limit of one call of the sink. */
  readonly timeout: Duration.DurationInput
  readonly retry: RetryPolicy
  readonly afterDeadLetter: AfterDeadLetter
}

/** The path of one sink inside a relay. */
export interface Lane {
  readonly sink: Sink
  readonly offer: (deliveries: ReadonlyArray<Delivery>) => Effect.Effect<void>
  /** Works until interrupted. */
  readonly run: Effect.Effect<never>
}

const unavailableFirstDelay = Duration.millis(100)

/** While a sink is away: up to 5 s between attempts, with jitter, without end. */
const unavailableSchedule = Backoff.between("200 millis", "5 seconds").pipe(Schedule.resetAfter("1 minute"))

const orderKeyOf = (sink: Sink) => {
  const unordered = new Set(sink.topics.filter((topic) => !topic.ordered).map((topic) => topic.name))
  return (message: Message) => (unordered.has(message.topic) ? message.id : message.key)
}

const blamed = (message: Message, error: SinkError): Rejection => ({
  messageId: message.id,
  reason: error.reason,
  error: error.message,
  retryable: true
})

const failed = (sink: Sink, cause: unknown) =>
  Effect.fail(new SinkError({ sink: sink.name, reason: "Failed", cause }))

/**
 * One call of the sink. A defect in its code, or an interruption that comes from there, counts as a failed
 * batch: the relay and the other sinks live on.
 */
const call = (sink: Sink, batch: ReadonlyArray<Message>) =>
  Effect.suspend(() => sink.deliver(batch)).pipe(
    Effect.catchAllCause((cause) =>
      Option.match(Cause.failureOption(cause), { onNone: () => failed(sink, cause), onSome: Effect.fail })
    )
  )

const noteAway = (sink: Sink, error: SinkError) =>
  Effect.zipRight(
    Metric.increment(Metric.tagged(OutboxMetrics.unavailable, "sink", sink.name)),
    Effect.logWarning(`${error.message}; its messages wait`)
  )

/** Sends again for as long as the sink is away; fails only when the batch itself failed. */
const callUntilAvailable = (sink: Sink, batch: ReadonlyArray<Message>, watch: CallWatch.CallWatch) => {
  const attempt = Effect.tapError(watch.timed(call(sink, batch)), (error) =>
    error.retryable ? noteAway(sink, error) : Effect.void
  )
  // The first call does without the machinery of retries: it nearly always succeeds.
  return Effect.catchIf(
    attempt,
    (error) => error.retryable,
    () =>
      Effect.retry(Effect.delay(attempt, unavailableFirstDelay), {
        while: (error) => error.retryable,
        schedule: unavailableSchedule
      })
  )
}

/**
 * Delivers messages, `batchSize` in one call at most; a call that fails as a whole is halved until single
 * messages can be blamed. What follows a refused message of its key is left out of later calls.
 */
const deliverIsolating = (
  sink: Sink,
  batch: ReadonlyArray<Message>,
  batchSize: number,
  watch: CallWatch.CallWatch,
  orderKey: (message: Message) => string
) =>
  Effect.gen(function* () {
    const rejections: Array<Rejection> = []
    const stopped = new Set<string>()
    const segments: Array<ReadonlyArray<Message>> = Arr.chunksOf(batch, batchSize).toReversed()
    const reject = (segment: ReadonlyArray<Message>, refused: ReadonlyArray<Rejection>) => {
      if (refused.length === 0) return
      rejections.push(...refused)
      const ids = new Set(refused.map((rejection) => rejection.messageId))
      for (const message of segment) if (ids.has(message.id)) stopped.add(orderKey(message))
    }
    for (let segment = segments.pop(); segment !== undefined; segment = segments.pop()) {
      const sendable =
        stopped.size === 0 ? segment : segment.filter((message) => !stopped.has(orderKey(message)))
      const [first] = sendable
      if (first === undefined) continue
      const result = yield* Effect.either(callUntilAvailable(sink, sendable, watch))
      if (Either.isRight(result)) reject(sendable, result.right)
      else if (sendable.length === 1) reject(sendable, [blamed(first, result.left)])
      else {
        const half = Math.ceil(sendable.length / 2)
        segments.push(sendable.slice(half), sendable.slice(0, half))
      }
    }
    return rejections
  })

const deadLetter = (
  delivery: Delivery,
  sink: Sink,
  rejection: Rejection,
  attempts: number,
  blocks: boolean,
  at: number
): DeadLetter => ({
  messageId: delivery.message.id,
  slot: delivery.message.slot,
  sink: sink.name,
  reason: rejection.reason,
  error: rejection.error,
  attempts,
  blocks,
  at
})

/**
 * Makes the lane of a sink.
 *
 * @param parked keys that have a dead letter at this sink already
 * @param finished is handed the deliveries that no lane owes any more
 */
export const make = (
  sink: Sink,
  options: Options,
  parked: Iterable<string>,
  finished: (deliveries: ReadonlyArray<Delivery>) => Effect.Effect<void>
): Effect.Effect<Lane> =>
  Effect.gen(function* () {
    /** Bounded by what the relay lets in: see `InFlight`. */
    const waiting: Array<Delivery> = []
    const arrived = yield* Effect.makeLatch()
    const orderKey = orderKeyOf(sink)
    const watch = CallWatch.make(sink.name, options.timeout)
    const keys = new LaneKeys({ ...options, orderKey, parked })
    const deliveredHere = Metric.tagged(OutboxMetrics.delivered, "sink", sink.name)
    const rejectedHere = Metric.tagged(OutboxMetrics.rejected, "sink", sink.name)
    const deadHere = Metric.tagged(OutboxMetrics.dead, "sink", sink.name)
    const batchSizeHere = Metric.tagged(OutboxMetrics.batchSize, "sink", sink.name)

    /** On unordered topics nothing follows a message that could have to wait for it. */
    const blocks = (message: Message) =>
      options.afterDeadLetter === "park" && orderKey(message) === message.key

    const finish = (deliveries: ReadonlyArray<Delivery>) => {
      const done = deliveries.filter((delivery) => --delivery.owed === 0)
      return done.length === 0 ? Effect.void : finished(done)
    }

    const leaveBehind = (deliveries: ReadonlyArray<Delivery>) => {
      for (const delivery of deliveries) delivery.behind.push(sink.name)
      return finish(deliveries)
    }

    /** Waits for new messages, and no longer than until a waiting key is due. */
    const waitForWork = (now: number) => {
      const due = keys.nextDueMillis
      return due === undefined
        ? arrived.await
        : Effect.asVoid(Effect.timeoutOption(arrived.await, Duration.millis(Math.max(1, due - now))))
    }

    /** What is there; never waits holding something, so that an interruption or a time limit loses nothing. */
    const takeNew = (room: number): ReadonlyArray<Delivery> => {
      const taken = waiting.splice(0, Math.max(0, room))
      if (waiting.length === 0) arrived.unsafeClose()
      return taken
    }

    /** Under way. After a call that took too long all of it is sent again: twice is harmless. */
    let current: ReadonlyArray<Delivery> = []

    /**
     * Puts what can be sent into `current`; tells whether there was anything. Not interruptible: a time limit that
     * expires just now must not hit it between taking messages and noting them.
     */
    const takeBatch = (now: number) =>
      Effect.uninterruptible(
        Effect.suspend(() => {
          const due = keys.takeDue(now, options.batchSize)
          const taken = takeNew(options.batchSize - due.length)
          if (due.length + taken.length === 0) return Effect.succeed(false)
          const { parked, send } = keys.admit(taken)
          current = [...due, ...send]
          return Effect.as(leaveBehind(parked), true)
        })
      )

    const deliver = (batch: ReadonlyArray<Delivery>) =>
      Effect.gen(function* () {
        const messages = batch.map((delivery) => delivery.message)
        const rejections = yield* deliverIsolating(sink, messages, options.batchSize, watch, orderKey)
        yield* Effect.uninterruptible(
          Effect.suspend(() => {
            // From here on an interruption must not have it sent again.
            current = []
            return conclude(batch, rejections)
          })
        )
      })

    const conclude = (batch: ReadonlyArray<Delivery>, rejections: ReadonlyArray<Rejection>) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const randoms = yield* Effect.replicateEffect(Random.next, rejections.length)
        const outcome = keys.settle(batch, rejections, now, randoms)
        yield* Metric.update(batchSizeHere, batch.length)
        yield* Metric.incrementBy(deliveredHere, outcome.confirmed.length)
        yield* finish(outcome.confirmed)
        if (rejections.length === 0) return
        yield* Metric.incrementBy(rejectedHere, rejections.length)
        for (const { attempts, delivery, rejection } of outcome.dead) {
          delivery.dead.push(deadLetter(delivery, sink, rejection, attempts, blocks(delivery.message), now))
          yield* Effect.logError(
            `sink '${sink.name}' gave up on message ${rejection.messageId}: ${rejection.error}`
          )
        }
        yield* Metric.incrementBy(deadHere, outcome.dead.length)
        yield* finish(outcome.dead.map(({ delivery }) => delivery))
        yield* leaveBehind(outcome.parked)
      })

    const step = Effect.gen(function* () {
      if (current.length === 0) {
        const now = yield* Clock.currentTimeMillis
        if (!(yield* takeBatch(now))) yield* waitForWork(now)
      }
      if (current.length > 0) yield* deliver(current)
    })

    const run = Effect.raceFirst(Effect.forever(step), watch.expired).pipe(
      Effect.tapError((error) => noteAway(sink, error)),
      Effect.retry(unavailableSchedule),
      // The schedule has no end.
      Effect.orDie
    )

    return {
      sink,
      offer: (deliveries) =>
        Effect.sync(() => {
          waiting.push(...deliveries)
          arrived.unsafeOpen()
        }),
      run
    }
  })
