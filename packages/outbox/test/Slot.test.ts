import { describe, expect, it } from "@effect/vitest"
import { MessageArbitrary } from "@twinbox/testkit"
import * as Slot from "../src/Slot.ts"

describe("Slot", () => {
  // 32-bit FNV-1a vectors of draft-eastlake-fnv; the slot is their last byte.
  it.each([
    ["", 0x811c9dc5],
    ["a", 0xe40c292c],
    ["foobar", 0xbf9cf968]
  ])("of '%s' is the last byte of its FNV-1a hash", (key, hash) => {
    expect(Slot.ofKey(key)).toBe(hash % 256)
  })

  // Computed apart from this project's code, in Python.
  it.each([
    ["customer/42", 144],
    ["customer/東京", 152]
  ])("of '%s' is what another implementation says", (key, slot) => {
    expect(Slot.ofKey(key)).toBe(slot)
  })

  it("spreads keys evenly: no slot of 100,000 keys is off by more than a third", () => {
    const counts = Array.from({ length: Slot.count }, () => 0)
    for (let id = 0; id < 100_000; id++) {
      const slot = Slot.ofKey(`customer/${id}`)
      counts[slot] = (counts[slot] ?? 0) + 1
    }
    const mean = 100_000 / Slot.count
    expect(Math.min(...counts)).toBeGreaterThan(0.66 * mean)
    expect(Math.max(...counts)).toBeLessThan(1.33 * mean)
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
