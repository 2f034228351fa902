import { OutboxMetrics, OutboxStore, Relay } from "@twinbox/outbox"
import { RedisConnection, RedisMirror } from "@twinbox/redis"
import { Clock, Duration, Effect, Layer, Metric, Schedule } from "effect"
import { customerTopic } from "./Customer.ts"
import { type RoleError, RoleFailures } from "./RoleFailures.ts"
import { StatusBoard, type StatusItem } from "./StatusBoard.ts"

export type Requirements =
  OutboxStore.OutboxStore | RedisConnection.RedisConnection | RoleFailures | StatusBoard

/** How long a stop waits for the outbox to be empty. What is left in it is delivered by the next run. */
const drainWithin = Duration.seconds(2)

/** The relay's own patience, after the outbox was drained already. */
const settleWithin = Duration.millis(300)

/** A Redis that hangs must not take the rest of the status with it. */
const answerWithin = Duration.millis(500)

const ageOf = (oldestCreatedAt: number | undefined, now: number): StatusItem => {
  const millis = oldestCreatedAt === undefined ? 0 : Math.max(0, now - oldestCreatedAt)
  return { name: "oldestMillis", value: millis, text: `oldest ${Duration.format(Duration.millis(millis))}` }
}

const mirrorState = (mirror: RedisMirror.RedisMirror<"anonymized">) =>
  Effect.gen(function* () {
    const { connected } = yield* RedisConnection.RedisConnection
    if (!(yield* connected)) return "away"
    return (yield* mirror.ready) ? "ready" : "lost its data"
  }).pipe(
    Effect.timeout(answerWithin),
    Effect.orElseSucceed(() => "away"),
    Effect.map((state): StatusItem => ({ name: "mirror", value: state, text: `mirror ${state}` }))
  )

/** Messages confirmed since the last reading, per second. */
const deliveryRate = (sink: string) => {
  const delivered = Metric.tagged(OutboxMetrics.delivered, "sink", sink)
  let last: { readonly at: number; readonly count: number } | undefined
  return Effect.gen(function* () {
    const at = yield* Clock.currentTimeMillis
    const { count } = yield* Metric.value(delivered)
    const seconds = last === undefined ? 0 : (at - last.at) / 1000
    const rate = last === undefined || seconds <= 0 ? 0 : Math.round((count - last.count) / seconds)
    last = { at, count }
    return { name: "deliveredPerSecond", value: rate, text: `${rate}/s delivered` } satisfies StatusItem
  })
}

const outboxIsEmpty = Effect.gen(function* () {
  const { behind, ready } = yield* (yield* OutboxStore.OutboxStore).stats
  return ready + behind === 0
})

/** Waits until the outbox is empty, within bounds; a relay without Redis has nothing to wait for. */
const drain = Effect.gen(function* () {
  const { connected } = yield* RedisConnection.RedisConnection
  if (!(yield* connected)) return
  yield* outboxIsEmpty.pipe(
    Effect.repeat({ until: (isEmpty) => isEmpty, schedule: Schedule.spaced("50 millis") }),
    Effect.timeout(drainWithin)
  )
}).pipe(Effect.interruptible, Effect.ignoreLogged)

const warnOfLoss =
  "Redis has lost the mirror's data, so nothing is mirrored until it is rebuilt; for a demo, `npm run reset` begins anew"

/** The role `relay`: brings the outbox to the mirror in Redis. Before it stops it empties the outbox, if it can. */
export const layer: Layer.Layer<never, RoleError, Requirements> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const failures = yield* RoleFailures
    const board = yield* StatusBoard
    const mirror = yield* RedisMirror.make({ topics: [customerTopic], isNew: yield* RedisMirror.isNew() })
    if (!(yield* mirror.ready)) yield* Effect.logWarning(warnOfLoss)
    const relay = yield* Relay.make({ sinks: [mirror], drainWithin: settleWithin })
    yield* failures.fork(relay.run)
    // Finalizers run last first: drain, then the relay stops.
    const context = yield* Effect.context<Effect.Effect.Context<typeof drain>>()
    yield* Effect.addFinalizer(() => Effect.provide(drain, context))

    const rate = deliveryRate(mirror.name)
    const age = Effect.gen(function* () {
      return ageOf((yield* relay.status).oldestCreatedAt, yield* Clock.currentTimeMillis)
    })
    yield* board.add(Effect.provide(Effect.all([rate, age, mirrorState(mirror)]), context))
  })
)
