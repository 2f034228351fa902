import type { OutboxStore } from "@twinbox/outbox"
import { expect, it } from "vitest"
import * as Backlog from "../src/Backlog.ts"

const owing = (behind: number): OutboxStore.SinkStats => ({
  behind,
  dead: 0,
  blockedKeys: 0,
  oldestCreatedAt: undefined
})

it("What Kafka is owed counts only where there is a Kafka", () => {
  const sinks = new Map([
    ["redis-mirror", owing(2)],
    ["kafka", owing(7)],
    ["kafka-originals", owing(9)]
  ])
  const stats = { ready: 1, behind: 16, sinks }
  expect(Backlog.of(stats, true)).toBe(17)
  expect(Backlog.of(stats, false)).toBe(3)
  expect(Backlog.of({ ready: 0, behind: 0, sinks: new Map() }, false)).toBe(0)
})
