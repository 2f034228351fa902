import { Effect, Random } from "effect"
import { describe, expect, it } from "vitest"
import * as GeneratorBatch from "../src/GeneratorBatch.ts"
import { IdPool } from "../src/IdPool.ts"

const settings = { delayMillis: 0, batchMin: 3, batchMax: 8, updateShare: 0.3, deleteShare: 0.1 }

const batches = (count: number, pool: IdPool, given = settings) =>
  Effect.runSync(
    Effect.replicateEffect(GeneratorBatch.next(given, pool), count).pipe(
      Effect.withRandom(Random.make("batches"))
    )
  )

const filled = (count: number) => {
  const pool = new IdPool(count)
  for (let id = 0; id < count; id++) pool.add(String(id), 0)
  return pool
}

describe("a batch", () => {
  it("has a size between the bounds, and both bounds come", () => {
    const sizes = new Set(batches(500, new IdPool(10)).map((batch) => batch.length))
    expect([...sizes].toSorted((one, other) => one - other)).toEqual([3, 4, 5, 6, 7, 8])
  })

  it("only creates while there is nobody to change", () => {
    expect(
      batches(50, new IdPool(10))
        .flat()
        .every(({ _tag }) => _tag === "Create")
    ).toBe(true)
  })

  it("changes and deletes as often as the settings say", () => {
    const operations = batches(2_000, filled(10_000)).flat()
    const share = (tag: string) => operations.filter(({ _tag }) => _tag === tag).length / operations.length
    expect(share("Update")).toBeCloseTo(0.3, 1)
    expect(share("Delete")).toBeCloseTo(0.1, 1)
  })

  it("has an id once at most", () => {
    const all = { ...settings, updateShare: 0.5, deleteShare: 0.5 }
    const ids = batches(20, filled(40), all)
      .flat()
      .flatMap((operation) => (operation._tag === "Create" ? [] : [operation.id]))
    expect(ids).toHaveLength(40)
    expect(new Set(ids).size).toBe(40)
  })
})

describe("the pool of ids", () => {
  it("gives every id out once, and none when it is empty", () => {
    const pool = filled(3)
    expect(new Set([pool.take(0.99), pool.take(0), pool.take(0.5)])).toEqual(new Set(["0", "1", "2"]))
    expect(pool.take(0.5)).toBeUndefined()
  })

  it("stays as small as it was made", () => {
    const pool = filled(3)
    pool.add("new", 0.4)
    expect(pool.size).toBe(3)
    expect([pool.take(0), pool.take(0), pool.take(0)]).toContain("new")
  })
})
