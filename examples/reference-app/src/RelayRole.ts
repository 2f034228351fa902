import { type ByteConnection, ExportSink } from "@twinbox/exporter"
import { type OutboxAdmin, OutboxMetrics, OutboxStore, Relay, type Sink } from "@twinbox/outbox"
import { RedisConnection, RedisMirror } from "@twinbox/redis"
import { Clock, type Context, Duration, Effect, Layer, Metric, Option, Ref, Schedule } from "effect"
import { customerOriginalTopic, customerTopic } from "./Customer.ts"
import { customerIndexes } from "./CustomerIndexes.ts"
import { CustomerOutbox } from "./CustomerOutbox.ts"
import * as CustomerWrites from "./CustomerWrites.ts"
import type { EventKafka } from "./EventKafka.ts"
import * as KafkaSinks from "./KafkaSinks.ts"
import * as Backlog from "./Backlog.ts"
import { Readiness, Unready } from "./Readiness.ts"
import { redisAnswers } from "./RedisAnswers.ts"
import { RemoteCustomers } from "./RemoteCustomers.ts"
import { type RoleError, RoleFailures } from "./RoleFailures.ts"
import { StatusBoard, type StatusItem } from "./StatusBoard.ts"

export type Requirements =
  | ByteConnection.ByteConnection
  | CustomerOutbox
  | EventKafka
  | OutboxAdmin.OutboxAdmin
  | OutboxStore.OutboxStore
  | RedisConnection.RedisConnection
  | Readiness
  | RemoteCustomers
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

type Mirrors = ReadonlyArray<RedisMirror.RedisMirror<"anonymized"> | RedisMirror.RedisMirror<"original">>

const areReady = (mirrors: Mirrors) => Effect.every(mirrors, ({ ready }) => ready)

const mirrorState = (mirrors: Mirrors) =>
  Effect.gen(function* () {
    const { connected } = yield* RedisConnection.RedisConnection
    if (!(yield* connected)) return "away"
    return (yield* areReady(mirrors)) ? "ready" : "lost its data"
  }).pipe(
    Effect.timeout(answerWithin),
    Effect.orElseSucceed(() => "away"),
    Effect.map((state): StatusItem => ({ name: "mirror", value: state, text: `mirror ${state}` }))
  )

/** Redis answers, and the mirrors have everything that was given to them. */
const checkMirrors = (mirrors: Mirrors) =>
  areReady(mirrors).pipe(
    Effect.mapError(({ message }) => new Unready({ reason: message })),
    Effect.filterOrFail(
      (isReady) => isReady,
      () => new Unready({ reason: "Redis has lost the mirror's data: run `twinbox rebuild`" })
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

/** Kafka has been reached, and takes what is sent there. */
const checkKafka = ({ isOpen }: KafkaSinks.KafkaSinks, relay: Context.Tag.Service<Relay.Relay>) =>
  Effect.zipWith(isOpen, relay.status, (isOpen, { sinks }) => {
    const own = sinks.filter(({ name }) => Backlog.isOfKafka(name))
    return isOpen && own.every(({ state }) => state !== "away")
  }).pipe(
    Effect.filterOrFail(
      (isReady) => isReady,
      () => new Unready({ reason: "Kafka does not answer, or not yet" })
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

const isEmptyFor = (hasKafka: boolean) =>
  Effect.gen(function* () {
    const { stats } = yield* OutboxStore.OutboxStore
    return Backlog.of(yield* stats, hasKafka) === 0
  })

/** Waits until the sinks have everything, within bounds; a relay without Redis has nothing to wait for. */
const drain = (hasKafka: boolean) =>
  Effect.gen(function* () {
    if (!(yield* redisAnswers)) return
    yield* isEmptyFor(hasKafka).pipe(
      Effect.repeat({ until: (isEmpty) => isEmpty, schedule: Schedule.spaced("50 millis") }),
      Effect.timeout(drainWithin)
    )
  }).pipe(Effect.interruptible, Effect.ignoreLogged)

const warnOfLoss =
  "Redis has lost the mirror's data, so nothing is mirrored until `twinbox rebuild` has run; for a demo, `npm run reset` begins anew"

/** The mirror of the twins, and that of the originals where Redis takes writes of them. */
const makeMirrors = (isTwoWay: boolean) =>
  Effect.gen(function* () {
    const twins = yield* RedisMirror.make({ topics: [customerTopic], isNew: yield* RedisMirror.isNew() })
    if (!isTwoWay) return { twins, all: [twins] }
    const originals = yield* RedisMirror.originals({
      topics: [customerOriginalTopic],
      isNew: yield* RedisMirror.isNew(RedisMirror.defaultOriginalsName),
      indexes: customerIndexes
    })
    return { twins, all: [twins, originals] }
  })

/** Hands changes to the live exports that follow them: twins, and originals where those are published. */
const makeExportSinks = (
  isTwoWay: boolean
): Effect.Effect<
  ReadonlyArray<Sink.Sink>,
  never,
  ByteConnection.ByteConnection | RedisConnection.RedisConnection
> =>
  Effect.gen(function* () {
    const twins = yield* ExportSink.make({ topics: [customerTopic] })
    return isTwoWay ? [twins, yield* ExportSink.originals({ topics: [customerOriginalTopic] })] : [twins]
  })

/**
 * The role `relay`: brings the outbox to the mirrors in Redis, to Kafka and to live exports, and what is written in Redis to MongoDB. Before it
 * stops it empties first the log of those writes, then the outbox, if it can.
 */
export const layer: Layer.Layer<never, RoleError, Requirements> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const failures = yield* RoleFailures
    const board = yield* StatusBoard
    const writes = Option.all([yield* CustomerOutbox, yield* RemoteCustomers])
    const mirrors = yield* makeMirrors(Option.isSome(writes))
    if (!(yield* areReady(mirrors.all))) yield* Effect.logWarning(warnOfLoss)
    const kafka = yield* KafkaSinks.make
    // Without Kafka, too: what a relay does not know of is gone when the others have it.
    yield* KafkaSinks.registerSessions
    const sinks: ReadonlyArray<Sink.Sink> = [
      ...mirrors.all,
      ...(yield* makeExportSinks(Option.isSome(writes))),
      ...kafka.sinks
    ]
    const hasKafka = kafka.sinks.length > 0
    const relay = yield* Relay.make({ sinks, drainWithin: settleWithin })
    yield* failures.fork(relay.run)
    // Finalizers run last first: drain, then the relay stops.
    const context = yield* Effect.context<Effect.Effect.Context<ReturnType<typeof drain>>>()
    yield* Effect.addFinalizer(() => Effect.provide(drain(hasKafka), context))

    const readiness = yield* Readiness
    yield* readiness.add("redis", checkMirrors(mirrors.all))
    yield* readiness.add("relay", checkRelay(relay))
    if (hasKafka) yield* readiness.add("kafka", checkKafka(kafka, relay))

    const rate = yield* deliveryRate(mirrors.twins.name)
    const age = Effect.gen(function* () {
      return ageOf((yield* relay.status).oldestCreatedAt, yield* Clock.currentTimeMillis)
    })
    yield* board.add(Effect.provide(Effect.all([rate, age, mirrorState(mirrors.all)]), context))
    if (Option.isSome(writes)) yield* CustomerWrites.bring(...writes.value)
  })
)
