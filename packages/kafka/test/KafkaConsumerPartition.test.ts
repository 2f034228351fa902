import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { Partition } from "../src/KafkaConsumerPartition.ts"
import type { RawRecord } from "../src/KafkaConsumerRecord.ts"

const limits = { maxRecords: 100, maxBytes: 1_000, keysAtOnce: 1, recordsPerTransaction: 10 }

const record = (offset: number, bytes: number): RawRecord => ({
  topic: "t",
  partition: 0,
  offset: BigInt(offset),
  timestamp: 0,
  key: Buffer.from("k"),
  value: Buffer.alloc(bytes),
  headers: []
})

const records = (from: number, count: number, bytes = 1) =>
  Array.from({ length: count }, (_, at) => record(from + at, bytes))

describe("a partition", () => {
  it.live("is paused while it holds too many bytes, and no longer once they are applied", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const partition = new Partition("t", 0, 0n, limits)
      yield* partition.start(() => Deferred.await(gate), Effect.die)
      partition.take(records(0, 2, 400), 2n)
      expect(partition.isPaused).toBe(false)
      partition.take([record(2, 400)], 3n)
      expect(partition.isPaused).toBe(true)
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.repeat(Effect.yieldNow(), { until: () => !partition.isPaused })
      expect([partition.finished, partition.records]).toEqual([3n, 0])
      yield* partition.stop("1 second")
    })
  )

  it.live("takes no record twice of a batch that began before its position", () =>
    Effect.gen(function* () {
      const seen: Array<bigint> = []
      const partition = new Partition("t", 0, 3n, limits)
      const apply = (given: ReadonlyArray<RawRecord>) =>
        Effect.sync(() => void seen.push(...given.map(({ offset }) => offset)))
      yield* partition.start(apply, Effect.die)
      partition.take(records(0, 6), 6n)
      partition.take(records(4, 4), 8n)
      yield* Effect.repeat(Effect.yieldNow(), { until: () => partition.finished === 8n })
      expect(seen).toEqual([3n, 4n, 5n, 6n, 7n])
      yield* partition.stop("1 second")
    })
  )

  it.live("that is stopped finishes what has begun, and neither begins nor finishes anything else", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const seen: Array<number> = []
      const partition = new Partition("t", 0, 0n, limits)
      const apply = (given: ReadonlyArray<RawRecord>) =>
        Effect.zipRight(
          Effect.sync(() => void seen.push(given.length)),
          Deferred.await(gate)
        )
      yield* partition.start(apply, Effect.die)
      partition.take(records(0, 15), 15n)
      yield* Effect.repeat(Effect.yieldNow(), { until: () => seen.length === 1 })
      const stopping = yield* Effect.fork(partition.stop("30 seconds"))
      yield* Effect.repeat(Effect.yieldNow(), { until: () => partition.isStopped })
      yield* Effect.sleep("50 millis")
      yield* Deferred.succeed(gate, undefined)
      yield* stopping
      partition.take(records(15, 5), 20n)
      yield* Effect.sleep("20 millis")
      expect(seen).toEqual([10])
      expect([partition.finished, partition.next]).toEqual([10n, 15n])
    })
  )

  it.live("does not wait longer than it may for what does not end", () =>
    Effect.gen(function* () {
      const partition = new Partition("t", 0, 0n, limits)
      yield* partition.start(() => Effect.uninterruptible(Effect.sleep("2 seconds")), Effect.die)
      partition.take(records(0, 1), 1n)
      yield* Effect.sleep("20 millis")
      const begun = performance.now()
      yield* partition.stop("50 millis")
      expect(performance.now() - begun).toBeLessThan(1_500)
      expect(partition.finished).toBe(0n)
    })
  )

  it.live("whose lane ends by a defect says so", () =>
    Effect.gen(function* () {
      const told = yield* Deferred.make<boolean>()
      const partition = new Partition("t", 0, 0n, limits)
      yield* partition.start(
        () => Effect.die("a mistake"),
        () => Deferred.succeed(told, true)
      )
      partition.take(records(0, 1), 1n)
      expect(yield* Deferred.await(told)).toBe(true)
    })
  )
})
