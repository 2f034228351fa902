import { Effect, Either } from "effect"
import type { Servers } from "./BenchServers.ts"
import type { Figure } from "./Figure.ts"
import * as KafkaBenchDrain from "./KafkaBenchDrain.ts"
import * as KafkaBenchLatency from "./KafkaBenchLatency.ts"
import { startKafka } from "./KafkaBenchParts.ts"

export type KafkaResult =
  | {
      readonly drain: KafkaBenchDrain.KafkaDrainResult
      readonly latency: KafkaBenchLatency.KafkaLatencyResult
    }
  /** Why there is no Kafka to be had. */
  | { readonly notMeasured: string }

/** (m) and (n) What goes to Kafka, against the same by hand. */
export const run = (servers: Servers, rounds: number, scale: number, seconds: number) =>
  Effect.gen(function* () {
    const kafka = yield* Effect.either(startKafka)
    if (Either.isLeft(kafka) && kafka.left._tag === "ServiceError" && kafka.left.reason === "NotFound") {
      const result: KafkaResult = { notMeasured: kafka.left.message }
      return result
    }
    const { brokers } = yield* kafka
    const result: KafkaResult = {
      drain: yield* KafkaBenchDrain.run(servers, brokers, rounds, scale),
      latency: yield* KafkaBenchLatency.run(servers, brokers, rounds, seconds)
    }
    return result
  }).pipe(Effect.scoped)

export const figures = (result: KafkaResult): ReadonlyArray<Figure> => {
  const measured = "drain" in result ? result : undefined
  const unit = "ms"
  const { handWritten, relay } = measured?.latency ?? {}
  return [
    { name: "(m) relay drain into Kafka / loop by hand", measured: measured?.drain.ratio, atLeast: 0.8 },
    { name: "(n) 100 saves/s: acknowledged -> Kafka consumer, p50", measured: relay?.p50Millis, unit },
    { name: "    p99", measured: relay?.p99Millis, unit },
    { name: "    a change stream sent by hand, p50", measured: handWritten?.p50Millis, unit },
    { name: "    p99", measured: handWritten?.p99Millis, unit }
  ]
}
