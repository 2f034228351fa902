import { Effect, Metric } from "effect"
import * as Tally from "./Tally.ts"

/* Names are stable: dashboards and alerts stand on them. All are tagged `collection` with the name of the originals'. */

const counter = (name: string, description: string) =>
  Metric.counter(name, { description, incremental: true })

const gauge = (name: string, description: string) => Metric.gauge(name, { description })

/** Documents that were compared with their twins. */
export const examined = counter("twinbox_sync_examined_total", "Documents compared with their twins")

/** Differences that were put right. Tagged `kind`: `missing`, `stale`, `outdated`, `altered`, `unversioned` or `extra`. */
export const written = counter(
  "twinbox_sync_written_total",
  "Differences between originals and twins put right"
)

/** Originals met that do not fit the Schema and so cannot have a twin, each time that one was met. */
export const unfit = counter("twinbox_sync_unfit_total", "Originals met that do not fit the Schema")

/** Writes that MongoDB refused for the sake of the document. */
export const failed = counter("twinbox_sync_failed_total", "Differences that could not be put right")

/** Times that the oplog no longer held where the following had come to, so that everything was compared. */
export const lost = counter(
  "twinbox_sync_position_lost_total",
  "Times that the oplog had moved past the sync"
)

/** Whether this instance follows the collection (1), or stands by (0). */
export const following = gauge(
  "twinbox_sync_following",
  "Whether this instance follows the collection (1) or not (0)"
)

/** Seconds of changes that have not been worked on yet. */
export const lag = gauge("twinbox_sync_lag_seconds", "Seconds that the sync is behind the newest change")

/** Seconds until the oplog would lose the place where the sync is, if that stood still: oldest entry to that place. */
export const headRoom = gauge(
  "twinbox_sync_oplog_headroom_seconds",
  "Seconds between the oldest entry of the oplog and where the sync is"
)

/** Counts what became of documents. */
export const count = (collection: string, tally: Tally.Tally): Effect.Effect<void> => {
  const of = <A extends Metric.Metric.Counter<number>>(metric: A, amount: number) =>
    amount === 0 ? Effect.void : Metric.incrementBy(Metric.tagged(metric, "collection", collection), amount)
  return Effect.all(
    [
      of(examined, tally.examined),
      of(unfit, tally.unfit),
      of(failed, tally.failed),
      ...Tally.repairable.map((kind) => of(Metric.tagged(written, "kind", kind), tally[kind]))
    ],
    { discard: true }
  )
}
