import { KafkaCluster, type KafkaError, KafkaSink } from "@twinbox/kafka"
import { type OutboxError, OutboxStore, Sink, type Topic } from "@twinbox/outbox"
import { Deferred, Effect, Either, Exit, Scope } from "effect"
import { customerTopic } from "./Customer.ts"
import { EventKafka } from "./EventKafka.ts"
import { RoleFailures } from "./RoleFailures.ts"
import { sessionEventTopic } from "./SessionEvent.ts"

/** Customers go to Kafka as twins only; sessions as they are, since their consumer makes them pseudonymous. */
const twins: ReadonlyArray<Topic.Any<"anonymized">> = [customerTopic]
const originals: ReadonlyArray<Topic.Any<"original">> = [sessionEventTopic]

/** Names of the sinks, as the outbox knows them. */
export const names = [KafkaSink.defaultName, KafkaSink.defaultOriginalsName] as const

/** Makes sure that sessions are kept for Kafka, whoever relays at the moment. */
export const registerSessions: Effect.Effect<void, OutboxError.OutboxError, OutboxStore.OutboxStore> =
  Effect.flatMap(OutboxStore.OutboxStore, (store) =>
    store.registerSinks([
      {
        name: KafkaSink.defaultOriginalsName,
        topics: originals.map(({ name }) => name),
        isMirror: false
      }
    ])
  )

/** How long a batch waits for a Kafka that is starting, before the relay tries again later. */
const waitAtMost = "2 seconds"

interface Sinks {
  readonly anonymized: Sink.Sink<"anonymized">
  readonly original: Sink.Sink<"original">
}

/** A sink that may not be there yet. */
const awaited = <V extends Topic.View>(
  name: string,
  topics: ReadonlyArray<Topic.Any<V>>,
  made: Effect.Effect<Sink.Sink<V>>
): Sink.Sink<V> => ({
  name,
  topics,
  deliver: (batch) =>
    made.pipe(
      Effect.timeoutFail({
        duration: waitAtMost,
        onTimeout: () => new Sink.SinkError({ sink: name, reason: "NotReady" })
      }),
      Effect.flatMap((sink) => sink.deliver(batch))
    )
})

const open: Effect.Effect<Sinks, KafkaError.KafkaError, KafkaCluster.KafkaCluster | Scope.Scope> = Effect.all(
  {
    anonymized: KafkaSink.make({ topics: twins }),
    original: KafkaSink.originals({ topics: originals })
  }
)

/** Tries until Kafka is there: nothing else that a relay does is to suffer from its absence. */
const openWhenThere = Effect.flatMap(Effect.scope, (parent) =>
  Effect.flatMap(Scope.fork(parent, parent.strategy), (scope) =>
    open.pipe(
      Scope.extend(scope),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
  )
).pipe(Effect.retry({ while: ({ retryable }) => retryable }))

/** The sinks of a run. They are there at once, and take messages when Kafka does. */
export interface KafkaSinks {
  readonly sinks: ReadonlyArray<Sink.Sink>
  /** Whether Kafka has been reached. */
  readonly isOpen: Effect.Effect<boolean>
}

const none: KafkaSinks = { sinks: [], isOpen: Effect.succeed(false) }

/** No sinks without Kafka. */
export const make: Effect.Effect<KafkaSinks, never, EventKafka | RoleFailures | Scope.Scope> = Effect.gen(
  function* () {
    const kafka = yield* EventKafka
    if (Either.isLeft(kafka)) return none
    const made = yield* Deferred.make<Sinks>()
    const failures = yield* RoleFailures
    yield* failures.fork(
      Effect.flatMap(kafka.right, (cluster) =>
        Effect.flatMap(Effect.provideService(openWhenThere, KafkaCluster.KafkaCluster, cluster), (sinks) =>
          Deferred.succeed(made, sinks)
        )
      )
    )
    const opened = Deferred.await(made)
    return {
      sinks: [
        awaited(
          KafkaSink.defaultName,
          twins,
          Effect.map(opened, ({ anonymized }) => anonymized)
        ),
        awaited(
          KafkaSink.defaultOriginalsName,
          originals,
          Effect.map(opened, ({ original }) => original)
        )
      ],
      isOpen: Deferred.isDone(made)
    }
  }
)
