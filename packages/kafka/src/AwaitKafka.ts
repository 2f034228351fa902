import { Backoff } from "@twinbox/outbox"
import { type Duration, Effect, Schedule } from "effect"
import type { KafkaError } from "./KafkaError.ts"

const pauses = Backoff.between("100 millis", "1 second")

const waiting = (error: KafkaError) =>
  error.retryable ? Effect.logWarning(`waiting for Kafka: ${error.message}`) : Effect.void

/** Waits for a Kafka that is not up yet, with a message at each attempt, until time is up. */
export const awaitKafka =
  (limit: Duration.DurationInput) =>
  <A, R>(attempt: Effect.Effect<A, KafkaError, R>): Effect.Effect<A, KafkaError, R> =>
    attempt.pipe(
      Effect.tapError(waiting),
      Effect.retry({ schedule: pauses.pipe(Schedule.upTo(limit)), while: (error) => error.retryable })
    )
