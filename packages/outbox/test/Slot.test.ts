import { describe, expect, it } from "@effect/vitest"
import { MessageArbitrary } from "@twinbox/testkit"
import * as Slot from "../src/Slot.ts"

describe("Slot", () => {
  // The hashes are the vectors of draft-eastlake-fnv; the slot is the exclusive or of their four bytes.
  it.each([
    ["", 0x811c9dc5],
    ["a", 0xe40c292c],
    ["foobar", 0xbf9cf968]
  ])("of '%s' is its FNV-1a hash, folded", (key, hash) => {
    const bytes = [hash >>> 24, (hash >>> 16) & 255, (hash >>> 8) & 255, hash & 255]
    expect(Slot.ofKey(key)).toBe(bytes.reduce((folded, byte) => folded ^ byte, 0))
  })

  // Computed apart from this project's code, in Python.
  it.each([
    ["customer/42", 4],
    ["customer/東京", 166]
  ])("of '%s' is what another implementation says", (key, slot) => {
    expect(Slot.ofKey(key)).toBe(slot)
  })

  it("spreads keys evenly: no slot of 100,000 keys is off by more than a fifth", () => {
    const counts = Array.from({ length: Slot.count }, () => 0)
    for (let id = 0; id < 100_000; id++) {
      const slot = Slot.ofKey(`customer/${id}`)
      counts[slot] = (counts[slot] ?? 0) + 1
    }
    const mean = 100_000 / Slot.count
    expect(Math.min(...counts)).toBeGreaterThan(0.8 * mean)
    expect(Math.max(...counts)).toBeLessThan(1.2 * mean)
  })

  it("lists every slot once, in rising order", () => {
    expect(Slot.all).toEqual([...new Set(Slot.all)].toSorted((a, b) => a - b))
    expect(Slot.all).toHaveLength(256)
  })

  it.prop("is always one of the slots, and the same for the same key", [MessageArbitrary.key], ([key]) => {
    expect(Slot.all).toContain(Slot.ofKey(key))
    expect(Slot.ofKey(key)).toBe(Slot.ofKey(`${key}`))
  })
})
