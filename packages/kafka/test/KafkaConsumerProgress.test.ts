import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { Progress } from "../src/KafkaConsumerProgress.ts"

describe("the progress in a partition", () => {
  it("is the first offset that is not finished, in whatever order records finish", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.nat()), { minLength: 1, maxLength: 60 }),
        (steps) => {
          const progress = new Progress(5n)
          const finishers: Array<() => void> = []
          const offsets: Array<bigint> = []
          let offset = 5n
          for (const [gap] of steps) {
            offset += BigInt(gap)
            offsets.push(offset)
            finishers.push(progress.take(offset))
            offset += 1n
          }
          const order = steps.map(([, rank], at) => ({ rank, at })).toSorted((a, b) => a.rank - b.rank)
          const open = new Set(offsets)
          for (const { at } of order) {
            finishers[at]?.()
            open.delete(offsets[at] ?? -1n)
            const first = [...open].reduce((least, one) => (one < least ? one : least), offset)
            expect(progress.finished).toBe(first)
          }
        }
      )
    )
  })

  it("passes over offsets without records, forwards only, once all before is finished", () => {
    const progress = new Progress(0n)
    const finish = progress.take(0n)
    progress.passTo(10n)
    expect([progress.finished, progress.next]).toEqual([0n, 10n])
    finish()
    progress.passTo(7n)
    expect([progress.finished, progress.next]).toEqual([10n, 10n])
  })

  it("keeps nothing of what is finished", () => {
    const progress = new Progress(0n)
    let last = () => {}
    for (let offset = 0n; offset < 100_000n; offset += 1n) {
      last()
      last = progress.take(offset)
    }
    expect(progress.size).toBeLessThan(5_000)
  })
})
