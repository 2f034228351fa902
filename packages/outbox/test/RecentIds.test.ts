import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { RecentIds } from "../src/RecentIds.ts"

describe("RecentIds", () => {
  it.prop(
    "knows the last ids that were added, and no more than it has room for",
    [FastCheck.integer({ min: 1, max: 20 }), FastCheck.nat({ max: 100 })],
    ([capacity, count]) => {
      const recent = new RecentIds(capacity)
      for (let id = 0; id < count; id++) recent.add(String(id))
      const known = Array.from({ length: count }, (_, id) => id).filter((id) => recent.has(String(id)))
      expect(known).toEqual(Array.from({ length: count }, (_, id) => id).slice(-capacity))
    }
  )

  it("takes no more room for an id that is added again", () => {
    const recent = new RecentIds(2)
    for (const id of ["a", "b", "b", "b"]) recent.add(id)
    expect([recent.has("a"), recent.has("b")]).toEqual([true, true])
  })
})
