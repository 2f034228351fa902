import { Metric } from "effect"

/* All are tagged `stream` with the stream of the records. */

const counter = (name: string, description: string) =>
  Metric.counter(name, { description, incremental: true })

/** Writes that MongoDB applied. */
export const applied = counter(
  "twinbox_redis_outbox_applied_total",
  "Writes made in Redis that MongoDB applied"
)

/** Writes that MongoDB refused for good. Tagged `reason`, too. */
export const refused = counter(
  "twinbox_redis_outbox_refused_total",
  "Writes made in Redis that MongoDB refused"
)

/** Writes that could not be settled at once and were tried again, once for each further try. */
export const retried = counter(
  "twinbox_redis_outbox_retried_total",
  "Writes made in Redis that were tried again"
)

/** 1 while this process is the one that reads the log, else 0. */
export const active = Metric.gauge("twinbox_redis_outbox_active", {
  description: "Whether this process applies the writes made in Redis (1) or stands by (0)"
})

/** Writes that MongoDB has not decided on; 0 in a process that stands by. */
export const depth = Metric.gauge("twinbox_redis_outbox_depth", {
  description: "Writes made in Redis that MongoDB has not decided on"
})

/**
 * Seconds since the oldest write was accepted that this process has taken up and not settled, 0 when there is none.
 * Off by the difference of the clock of Redis and this one.
 */
export const oldestAge = Metric.gauge("twinbox_redis_outbox_oldest_age_seconds", {
  description: "Age of the oldest write made in Redis that is being applied"
})
