import { Effect, Metric } from "effect"
import type { Assignment } from "./KafkaConsumerAssignment.ts"
import * as KafkaConsumerMetrics from "./KafkaConsumerMetrics.ts"
import type { KafkaError } from "./KafkaError.ts"

/** Shows how far a consumer is behind the ends of its partitions. */
export const make = (consumer: string, { partitions, readEnds }: Assignment) => {
  const shown = new Map<string, { readonly topic: string; readonly partition: number }>()

  const set = (topic: string, partition: number, lag: number) =>
    KafkaConsumerMetrics.lag.pipe(
      Metric.tagged("consumer", consumer),
      Metric.tagged("topic", topic),
      Metric.tagged("partition", String(partition)),
      (gauge) => Metric.set(gauge, lag)
    )

  /** Partitions that others have by now are not left standing. */
  const show = Effect.suspend(() => {
    for (const [name, place] of partitions) shown.set(name, place)
    return Effect.forEach(
      shown,
      ([name, { partition, topic }]) => set(topic, partition, partitions.get(name)?.lag ?? 0),
      { discard: true }
    )
  })

  const forget = Effect.suspend(() =>
    Effect.forEach(shown.values(), ({ partition, topic }) => set(topic, partition, 0), { discard: true })
  )

  return {
    report: Effect.zipRight(readEnds, show) satisfies Effect.Effect<void, KafkaError>,
    forget
  }
}
