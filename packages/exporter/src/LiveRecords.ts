import { Effect } from "effect"
import type { ExportRecord } from "./ExportRecord.ts"
import type { ExportStore, Taken } from "./ExportStore.ts"
import type { ExportWriter } from "./ExportWriter.ts"
import * as Halt from "./Halt.ts"
import { retrying } from "./WhileRedisIsAway.ts"

export interface Options {
  readonly id: string
  readonly topic: string
  readonly patienceMillis: number
  /** Whether nothing comes before the end any more: the snapshot is through, and somebody wants the export finished. */
  readonly isEnding: () => boolean
}

/** Records taken at a time. */
const takeCount = 500

/** How often a list that was empty is looked at again. */
const emptyPause = "100 millis"

/** Fields of the payload, and the three that say which version of what it is. */
const recordOf = ({ id, json, version }: Taken): ExportRecord => {
  const fields: unknown = json === null ? {} : JSON.parse(json)
  return { ...(typeof fields === "object" ? fields : {}), _id: id, version, deleted: json === null }
}

/**
 * Writes the live records that the relays hand to an export, until it is to end and nothing waits any more. Taking
 * leave comes before the last look, so that nothing that was handed over is left behind.
 */
export const write = (
  store: ExportStore,
  writer: ExportWriter,
  { id, isEnding, patienceMillis, topic }: Options
): Effect.Effect<void, Halt.Halt> =>
  Effect.gen(function* () {
    const patiently = retrying(patienceMillis)
    let position = ""
    let hasLeft = false
    while (true) {
      const taken = yield* patiently(store.takeLive(id, position, takeCount))
      const last = taken.at(-1)
      if (last !== undefined) {
        const records = yield* Effect.try({
          try: () => taken.map(recordOf),
          catch: () => Halt.failed("Unencodable")
        })
        yield* writer.write(records)
        position = last.position
      } else if (hasLeft) return
      else if (isEnding()) {
        yield* patiently(store.unsubscribe(id, topic))
        hasLeft = true
      } else yield* Effect.sleep(emptyPause)
    }
  })
