import { MonotonicClock } from "@twinbox/outbox"
import type { TwinSync } from "@twinbox/repository"
import { Duration, Effect, Layer, Ref } from "effect"
import { CustomerSync } from "./CustomerSync.ts"
import { Readiness, Unready } from "./Readiness.ts"
import { type RoleError, RoleFailures } from "./RoleFailures.ts"
import { StatusBoard, type StatusItem } from "./StatusBoard.ts"

export type Requirements = CustomerSync | Readiness | RoleFailures | StatusBoard

const isWritten = ({ outcome }: TwinSync.SyncReport): boolean => outcome === "Written"

const item = (count: number): StatusItem => ({
  name: "synced",
  value: count,
  text: `synced ${count.toLocaleString("en")}`
})

/** It tells about once a second that all is well; a large flush takes longer. */
const maxSilence = Duration.seconds(15)

const notYet = new Unready({ reason: "the sync has not begun to follow the customers yet" })
const silent = new Unready({ reason: "the sync waits for MongoDB or for room in the outbox" })

/** It follows or stands by, and nothing keeps it from that. */
export const checkPulse = (lastMillis: number | undefined): Effect.Effect<void, Unready> =>
  Effect.flatMap(MonotonicClock.millis, (now) => {
    if (lastMillis === undefined) return notYet
    return now - lastMillis > Duration.toMillis(maxSilence) ? silent : Effect.void
  })

/** The role `sync`: puts right what other programs do to customers, also what they did while nobody looked. */
export const layer: Layer.Layer<never, RoleError, Requirements> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const { follow } = yield* CustomerSync
    const synced = yield* Ref.make(0)
    const onFlush = ({ reports }: TwinSync.Flush) =>
      Ref.update(synced, (before) => before + reports.filter(isWritten).length)
    const onReport = (report: TwinSync.SyncReport) =>
      isWritten(report) ? Ref.update(synced, (before) => before + 1) : Effect.void
    const lastPulse = yield* Ref.make<number | undefined>(undefined)
    const onPulse = Effect.flatMap(MonotonicClock.millis, (now) => Ref.set(lastPulse, now))
    yield* (yield* RoleFailures).fork(follow({ onFlush, onPulse, reindex: { onReport } }))
    yield* (yield* Readiness).add("sync", Effect.flatMap(Ref.get(lastPulse), checkPulse))
    yield* (yield* StatusBoard).add(Effect.map(Ref.get(synced), (count) => [item(count)]))
  })
)
