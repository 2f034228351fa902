import { Metric } from "effect"

/** Writes that changed a mirror. Tagged `sink`. */
export const applied = Metric.counter("twinbox_mirror_applied_total", {
  description: "Messages that a mirror wrote",
  incremental: true
})

/** Messages that changed nothing: duplicates, and those that a newer one of their key had overtaken. Tagged `sink`. */
export const stale = Metric.counter("twinbox_mirror_stale_total", {
  description: "Messages that a mirror had no need to write, because it had them or newer ones",
  incremental: true
})
