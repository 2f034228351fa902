import { Effect, Layer, Ref } from "effect"
import type { TwinSync } from "@twinbox/repository"
import { CustomerSync } from "./CustomerSync.ts"
import { type RoleError, RoleFailures } from "./RoleFailures.ts"
import { StatusBoard, type StatusItem } from "./StatusBoard.ts"

export type Requirements = CustomerSync | RoleFailures | StatusBoard

const isWritten = ({ outcome }: TwinSync.SyncReport): boolean => outcome === "Written"

const item = (count: number): StatusItem => ({
  name: "synced",
  value: count,
  text: `synced ${count.toLocaleString("en")}`
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
    yield* (yield* RoleFailures).fork(follow({ onFlush, reindex: { onReport } }))
    yield* (yield* StatusBoard).add(Effect.map(Ref.get(synced), (count) => [item(count)]))
  })
)
