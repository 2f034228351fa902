import { Metric } from "effect"
import * as OutboxMetrics from "./OutboxMetrics.ts"

/** The metrics of one sink. Tagged once: each tagging makes another metric, which is looked up anew. */
export const make = (sink: string) => ({
  batchSize: Metric.tagged(OutboxMetrics.batchSize, "sink", sink),
  dead: Metric.tagged(OutboxMetrics.dead, "sink", sink),
  delivered: Metric.tagged(OutboxMetrics.delivered, "sink", sink),
  latency: Metric.tagged(OutboxMetrics.latency, "sink", sink),
  leftBehind: Metric.tagged(OutboxMetrics.leftBehind, "sink", sink),
  rejected: Metric.tagged(OutboxMetrics.rejected, "sink", sink),
  sinkOpen: Metric.tagged(OutboxMetrics.sinkOpen, "sink", sink),
  unavailable: Metric.tagged(OutboxMetrics.unavailable, "sink", sink)
})

export type LaneMetrics = ReturnType<typeof make>
