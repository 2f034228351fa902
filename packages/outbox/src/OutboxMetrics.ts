import { Metric, MetricBoundaries } from "effect"

/** Messages confirmed by a sink. Tagged `sink`. */
export const delivered = Metric.counter("twinbox_relay_delivered_total", {
  description: "Messages confirmed by a sink",
  incremental: true
})

/** Messages refused by a sink and to be sent again. Tagged `sink`. */
export const rejected = Metric.counter("twinbox_relay_rejected_total", {
  description: "Refusals of single messages by a sink",
  incremental: true
})

/** Messages given up on for one sink. Tagged `sink`. */
export const dead = Metric.counter("twinbox_relay_dead_total", {
  description: "Messages that became dead letters",
  incremental: true
})

/** Calls that failed because the sink did not answer or was not ready. Tagged `sink`. */
export const unavailable = Metric.counter("twinbox_relay_sink_unavailable_total", {
  description: "Batches that a sink could not take as a whole",
  incremental: true
})

/** Messages taken in by the relay and not yet settled. */
export const inFlight = Metric.gauge("twinbox_relay_in_flight", { description: "Messages on their way" })

/** Messages in one call of a sink. Tagged `sink`. */
export const batchSize = Metric.histogram(
  "twinbox_relay_batch_size",
  MetricBoundaries.exponential({ start: 1, factor: 4, count: 7 }),
  "Messages in one call of a sink"
)
