import { describe, expect, it } from "@effect/vitest"
import * as ChaosPlan from "./ChaosPlan.ts"

const leaseMillis = 2_000

const first = (seed: number, count: number): ReadonlyArray<ChaosPlan.Planned> => {
  const plan = ChaosPlan.make({ seed, leaseMillis })
  return Array.from({ length: count }, () => plan.next().value)
}

describe("ChaosPlan", () => {
  it("is the same for a seed, and another for another", () => {
    expect(first(7, 50)).toEqual(first(7, 50))
    expect(first(7, 50)).not.toEqual(first(8, 50))
  })

  it("has every kind of fault in each deck", () => {
    const plan = first(3, 4 * ChaosPlan.deckSize)
    for (let at = 0; at < plan.length; at += ChaosPlan.deckSize) {
      const dealt = new Set(plan.slice(at, at + ChaosPlan.deckSize).map(({ kind }) => kind))
      expect(dealt).toEqual(new Set(ChaosPlan.kinds))
    }
  })

  it("freezes a relay for longer than its lease", () => {
    const freezes = first(11, 500).filter(({ kind }) => kind === "freeze relay")
    expect(Math.min(...freezes.map(({ holdMillis }) => holdMillis))).toBeGreaterThan(leaseMillis)
  })
})
