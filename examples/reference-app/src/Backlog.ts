import { KafkaSink } from "@twinbox/kafka"
import type { OutboxStore } from "@twinbox/outbox"

const ofKafka: ReadonlySet<string> = new Set([KafkaSink.defaultName, KafkaSink.defaultOriginalsName])

export const isOfKafka = (sink: string): boolean => ofKafka.has(sink)

/** How many messages this run has still to bring somewhere: without Kafka, what Kafka is owed waits for another run. */
export const of = (
  { behind, ready, sinks }: Pick<OutboxStore.Stats, "behind" | "ready" | "sinks">,
  hasKafka: boolean
): number => {
  if (hasKafka) return ready + behind
  const owed = [...sinks].map(([name, stats]) => (isOfKafka(name) ? 0 : stats.behind))
  return ready + Math.max(0, ...owed)
}
