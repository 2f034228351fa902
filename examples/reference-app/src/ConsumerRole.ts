import { KafkaCluster, KafkaConsumer, KafkaTopics } from "@twinbox/kafka"
import { MongoDatabase, MongoInbox, Transaction } from "@twinbox/mongodb"
import { Backoff } from "@twinbox/outbox"
import { Duration, Effect, Either, Layer, Option, Ref } from "effect"
import { EventKafka } from "./EventKafka.ts"
import type { PseudonymKey } from "./PseudonymKey.ts"
import { Readiness, Unready } from "./Readiness.ts"
import { RoleFailures, type RoleError } from "./RoleFailures.ts"
import { type SessionEvent, sessionEventTopic } from "./SessionEvent.ts"
import * as SessionRecords from "./SessionRecords.ts"
import { StatusBoard, type StatusItem } from "./StatusBoard.ts"

export type Requirements =
  EventKafka | MongoDatabase.MongoDatabase | PseudonymKey | Readiness | RoleFailures | StatusBoard

/** Stays the same: under another name, all that Kafka still has would be applied again. */
const group = "twinbox-sessions"

const recordsPerTransaction = 50

/** How long a stop waits for the records under way. The others are applied by the next run. */
const stopWithin = Duration.seconds(1)

/** A consumer that was killed is missed so soon, and its partitions go to the others. */
const sessionTimeout = Duration.seconds(6)

/** It may be here before the first relay. */
const ensureTopic = KafkaTopics.ensure([sessionEventTopic.name], {}).pipe(
  Effect.tapError(({ message }) => Effect.logWarning(`the consumer cannot begin: ${message}`)),
  Effect.retry({ while: ({ retryable }) => retryable, schedule: Backoff.between("200 millis", "5 seconds") })
)

const applied = ({ add }: SessionRecords.SessionRecords) =>
  KafkaConsumer.subscribe(sessionEventTopic, {
    handler: ({ payload, sequence }: KafkaConsumer.Received<SessionEvent>) =>
      payload === null
        ? Effect.void
        : Effect.zipRight(
            add(payload, sequence),
            Effect.annotateLogs(Effect.logInfo("event applied"), { type: payload.type, sequence })
          )
  })

type Current = Option.Option<KafkaConsumer.KafkaConsumer>

const check = (current: Ref.Ref<Current>) =>
  Effect.flatMap(
    Ref.get(current),
    Option.match({ onNone: () => Effect.succeed(false), onSome: ({ ready }) => ready })
  ).pipe(
    Effect.filterOrFail(
      (isReady) => isReady,
      () => new Unready({ reason: "the consumer has no part of its group, or not yet" })
    ),
    Effect.asVoid
  )

const lagOf = ({ partitions }: KafkaConsumer.Status): StatusItem => {
  const lag = partitions.reduce((sum, partition) => sum + partition.lag, 0)
  return { name: "consumerLag", value: lag, text: `lag ${lag.toLocaleString("en")}` }
}

const lag = (current: Ref.Ref<Current>) =>
  Effect.flatMap(
    Ref.get(current),
    Option.match({
      onNone: () => Effect.succeed([]),
      onSome: ({ status }) => Effect.map(status, (status) => [lagOf(status)])
    })
  )

/** The role `consumer`: brings events of sessions from Kafka to MongoDB, once each and with pseudonyms. */
export const layer: Layer.Layer<never, RoleError, Requirements> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const cluster = yield* Either.match(yield* EventKafka, {
      onLeft: (absent) => Effect.fail<RoleError>(absent),
      onRight: Effect.succeed
    })
    const failures = yield* RoleFailures
    const database = yield* MongoDatabase.MongoDatabase
    const records = yield* SessionRecords.make
    const current = yield* Ref.make<Current>(Option.none())
    const consume = Effect.gen(function* () {
      yield* ensureTopic
      const consumer = yield* KafkaConsumer.make({
        group,
        topics: [applied(records)],
        transact: (body) => Transaction.runIn(database, body),
        recordsPerTransaction,
        sessionTimeout,
        stopWithin
      })
      yield* Ref.set(current, Option.some(consumer))
      return yield* consumer.run
    })
    yield* failures.fork(
      Effect.flatMap(cluster, (cluster) => Effect.provideService(consume, KafkaCluster.KafkaCluster, cluster))
    )
    yield* (yield* Readiness).add("consumer", check(current))
    yield* (yield* StatusBoard).add(lag(current))
  })
).pipe(Layer.provide(MongoInbox.layer()))
