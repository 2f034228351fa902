import { type OutboxAdmin, OutboxMetrics, OutboxStore, Relay } from "@twinbox/outbox"
import { RedisConnection, RedisMirror } from "@twinbox/redis"
import { Clock, type Context, Duration, Effect, Layer, Metric, Ref, Schedule } from "effect"
import { customerTopic } from "./Customer.ts"
import { Readiness, Unready } from "./Readiness.ts"
import { type RoleError, RoleFailures } from "./RoleFailures.ts"
import { StatusBoard, type StatusItem } from "./StatusBoard.ts"

export type Requirements =
  | OutboxAdmin.OutboxAdmin
  | OutboxStore.OutboxStore
  | RedisConnection.RedisConnection
  | Readiness
  | RoleFailures
  | StatusBoard

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

/** Redis answers, and the mirror has everything that was given to it. */
const checkMirror = (mirror: RedisMirror.RedisMirror<"anonymized">) =>
  mirror.ready.pipe(
    Effect.mapError(({ message }) => new Unready({ reason: message })),
    Effect.filterOrFail(
      (isReady) => isReady,
      () => new Unready({ reason: "Redis has lost the mirror's data; it must be rebuilt" })
    ),
    Effect.asVoid
  )

/** A member without slots stands by for those who have them. */
const checkRelay = (relay: Context.Tag.Service<Relay.Relay>) =>
  relay.status.pipe(
    Effect.filterOrFail(
      ({ isMember, slots }) => isMember || slots > 0,
      () => new Unready({ reason: "the relay takes no part in the outbox" })
    ),
    Effect.asVoid
  )

interface Reading {
  readonly at: number
  readonly count: number
}

/** Messages confirmed since the last reading, per second; the first reading is made now. */
const deliveryRate = (sink: string) => {
  const delivered = Metric.value(Metric.tagged(OutboxMetrics.delivered, "sink", sink))
  const reading: Effect.Effect<Reading> = Effect.zipWith(
    Clock.currentTimeMillis,
    delivered,
    (at, { count }) => ({ at, count })
  )
  return Effect.map(Effect.flatMap(reading, Ref.make), (last) =>
    Effect.gen(function* () {
      const now = yield* reading
      const before = yield* Ref.getAndSet(last, now)
      const seconds = (now.at - before.at) / 1000
      const rate = seconds > 0 ? Math.round((now.count - before.count) / seconds) : 0
      return { name: "deliveredPerSecond", value: rate, text: `${rate}/s delivered` } satisfies StatusItem
    })
  )
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

    const readiness = yield* Readiness
    yield* readiness.add("redis", checkMirror(mirror))
    yield* readiness.add("relay", checkRelay(relay))

    const rate = yield* deliveryRate(mirror.name)
    const age = Effect.gen(function* () {
      return ageOf((yield* relay.status).oldestCreatedAt, yield* Clock.currentTimeMillis)
    })
    yield* board.add(Effect.provide(Effect.all([rate, age, mirrorState(mirror)]), context))
  })
)
