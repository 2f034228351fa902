import { Metric } from "effect"

/* All are tagged `consumer` with the consumer's name and `topic` with the topic's name in Kafka. */

const counter = (name: string, description: string) =>
  Metric.counter(name, { description, incremental: true })

/** Records taken from Kafka, each as often as it was taken. */
export const consumed = counter("twinbox_kafka_consumer_consumed_total", "Records taken from Kafka")

/** Messages whose effect took hold. */
export const applied = counter("twinbox_kafka_consumer_applied_total", "Messages applied")

/** Messages that came again after they were applied. */
export const duplicate = counter(
  "twinbox_kafka_consumer_duplicate_total",
  "Messages that had been applied before"
)

/** Messages left out since a newer one of their key had been applied. */
export const stale = counter("twinbox_kafka_consumer_stale_total", "Messages older than what was applied")

/** Attempts to apply a message again. */
export const retried = counter("twinbox_kafka_consumer_retried_total", "Messages that were tried again")

/** Records given up on. */
export const dead = counter("twinbox_kafka_consumer_dead_total", "Records that became dead letters")

/** Positions that the broker had no longer: what stood between them and its oldest record was never seen. */
export const lost = counter(
  "twinbox_kafka_consumer_lost_position_total",
  "Positions that had been deleted from the topic before they were read"
)

/** Records behind the end of a partition that are not finished; 0 where another has the partition. Tagged `partition`, too. */
export const lag = Metric.gauge("twinbox_kafka_consumer_lag", {
  description: "Records of a partition that are not finished"
})
