import { type MemoryState, messageOf, type Row } from "./OutboxMemoryState.ts"
import type { SinkStats, Stats } from "./OutboxStore.ts"

const oldestOf = (rows: ReadonlyArray<Row>): number | undefined => {
  let oldest: number | undefined
  for (const row of rows) {
    const createdAt = messageOf(row)?.createdAt ?? Infinity
    if (createdAt < (oldest ?? Infinity)) oldest = createdAt
  }
  return oldest
}

const ofSink = (state: MemoryState, sink: string, rows: ReadonlyArray<Row>): SinkStats => {
  const owed = rows.filter((row) => row.behind.includes(sink))
  const dead = state.dead.values().filter(({ letter }) => letter.sink === sink)
  const blocked = dead.flatMap(({ letter, row }) => (letter.blocks ? (messageOf(row)?.key ?? []) : []))
  return {
    behind: owed.length,
    dead: dead.length,
    blockedKeys: new Set(blocked).size,
    oldestCreatedAt: oldestOf(owed)
  }
}

/** Counts everything. */
export const of = (state: MemoryState): Stats => {
  const rows = state.rows.values()
  const behind = rows.filter((row) => row.state === "behind")
  const names = new Set([
    ...state.sinks.keys(),
    ...behind.flatMap((row) => row.behind),
    ...state.dead.values().map(({ letter }) => letter.sink)
  ])
  return {
    ready: rows.filter((row) => row.state === "ready").length,
    behind: behind.length,
    dead: state.dead.size,
    scheduled: state.scheduledCount,
    delivered: state.delivered().length,
    oldestCreatedAt: oldestOf(rows),
    sinks: new Map([...names].map((name) => [name, ofSink(state, name, behind)]))
  }
}
