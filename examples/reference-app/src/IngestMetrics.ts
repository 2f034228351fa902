import { Metric } from "effect"

/** Sockets that are open. */
export const sockets = Metric.gauge("twinbox_ingest_sockets", { description: "Open WebSockets" })

/** Messages that were answered. Tagged `outcome`: `saved`, `duplicate`, or the code of the error. */
export const messages = Metric.counter("twinbox_ingest_messages_total", {
  description: "Messages that came over WebSockets and were answered",
  incremental: true
})

/** Sockets that are no more. Tagged `reason`. */
export const ended = Metric.counter("twinbox_ingest_ended_total", {
  description: "WebSockets that have ended",
  incremental: true
})
