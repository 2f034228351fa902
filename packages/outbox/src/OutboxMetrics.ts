import { Metric, MetricBoundaries } from "effect"

/*
 * Names are stable: dashboards and alerts stand on them. They follow Prometheus: base units, `_total` for what only
 * rises (https://prometheus.io/docs/practices/naming/). Tagged `sink` with the name of a sink where said so.
 */

const counter = (name: string, description: string) =>
  Metric.counter(name, { description, incremental: true })

const gauge = (name: string, description: string) => Metric.gauge(name, { description })

/** Messages confirmed by a sink. Tagged `sink`. */
export const delivered = counter("twinbox_relay_delivered_total", "Messages confirmed by a sink")

/** Messages sent to a sink again, one by one or with their whole batch. Tagged `sink`. */
export const retried = counter("twinbox_relay_retried_total", "Messages sent to a sink again")

/** Messages refused by a sink, once for each refusal. Tagged `sink`. */
export const rejected = counter("twinbox_relay_rejected_total", "Refusals of single messages by a sink")

/** Messages given up on for one sink. Tagged `sink`. */
export const dead = counter("twinbox_relay_dead_total", "Messages that became dead letters")

/** Messages that the others no longer wait for: a sink still owes them. Tagged `sink`. */
export const leftBehind = counter("twinbox_relay_left_behind_total", "Messages left behind for a sink")

/** Calls that failed because the sink did not answer or was not ready. Tagged `sink`. */
export const unavailable = counter(
  "twinbox_relay_sink_unavailable_total",
  "Batches that a sink could not take as a whole"
)

/** 1 while the circuit of a sink is open, so that it gets no messages but for a trial; else 0. Tagged `sink`. */
export const sinkOpen = gauge(
  "twinbox_relay_sink_open",
  "Whether the circuit of a sink is open (1) or not (0)"
)

/** Messages in one call of a sink. Tagged `sink`. */
export const batchSize = Metric.histogram(
  "twinbox_relay_batch_size",
  MetricBoundaries.exponential({ start: 1, factor: 4, count: 7 }),
  "Messages in one call of a sink"
)

/** A millisecond to an hour, in seconds. */
const latencyBoundaries = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600
]

/**
 * Seconds from a message's `createdAt` to its confirmation by a sink. The first is the writer's clock and the second
 * the relay's, so it is off by their difference; below 0 it counts as 0. Tagged `sink`.
 */
export const latency = Metric.histogram(
  "twinbox_relay_latency_seconds",
  MetricBoundaries.fromIterable(latencyBoundaries),
  "Seconds from the save of a message to its confirmation by a sink"
)

/** Messages taken in by the relay and not yet settled. */
export const inFlight = gauge("twinbox_relay_in_flight", "Messages on their way")

/** Slots that the relay owns. */
export const slots = gauge("twinbox_relay_slots", "Slots that this relay owns")

/**
 * Slots that changed hands, as this relay sees it. Tagged `change`: `gained`, `released` (given back) or `lost`
 * (expelled while it owned them).
 */
export const leaseChanges = counter("twinbox_relay_lease_changes_total", "Slots gained, released or lost")

/** Writes that the store refused because the lease was no longer this relay's. */
export const staleWrites = counter(
  "twinbox_relay_stale_writes_total",
  "Writes refused because of a stale lease"
)

/** 1 when the store told its counts at the last reading, 0 when it did not. */
export const up = gauge("twinbox_outbox_up", "Whether the outbox could be read (1) or not (0)")

/** Messages that no sink has been kept from yet. */
export const depth = gauge("twinbox_outbox_depth", "Messages that are ready")

/** Messages that a sink still owes and others do not wait for. Tagged `sink`. */
export const behind = gauge("twinbox_outbox_behind", "Messages behind for a sink")

/** Dead letters that wait for a person. Tagged `sink`. */
export const deadLetters = gauge("twinbox_outbox_dead", "Dead letters of a sink")

/** Keys that wait at a sink until a person requeues or discards a dead letter. Tagged `sink`. */
export const blockedKeys = gauge("twinbox_outbox_blocked_keys", "Keys blocked at a sink by a dead letter")

/**
 * Seconds since the `createdAt` of the oldest message behind for a sink, 0 when there is none; off by the difference
 * of the writer's clock and this one. Tagged `sink`; `*` stands for the oldest message that any sink still owes.
 */
export const oldestAge = gauge(
  "twinbox_outbox_oldest_age_seconds",
  "Age of the oldest message not yet delivered"
)
