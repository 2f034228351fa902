import type { LogLine } from "./LogLine.ts"
import * as LogStore from "./LogStore.ts"

/** Lines as they are shown, the newest first. */
export const of = (lines: ReadonlyArray<LogLine>, limit: number) => {
  const last = lines.at(-1)
  return {
    items: lines.map(({ _id, at, ...line }) => ({ at: at.toISOString(), ...line })),
    next: lines.length < limit || last === undefined ? null : LogStore.positionOf(last)
  }
}
