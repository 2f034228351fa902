import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import { Customer } from "../src/Customer.ts"
import { fakeCustomer, fakePatch } from "../src/FakeCustomer.ts"

const at = new Date("2026-01-02T03:04:05Z")
const seeds = Array.from({ length: 500 }, (_, seed) => seed)

describe("fake customers", () => {
  it("fit the Schema, also after a patch", () => {
    const isCustomer = Schema.is(Customer)
    for (const seed of seeds) {
      const customer = fakeCustomer(seed, at)
      expect(isCustomer(customer)).toBe(true)
      expect(isCustomer({ ...customer, ...fakePatch(seed) })).toBe(true)
    }
  })

  it("are the same for the same seed, and others for others", () => {
    expect(fakeCustomer(7, at)).toEqual(fakeCustomer(7, at))
    expect(fakePatch(7)).toEqual(fakePatch(7))
    expect(new Set(seeds.map((seed) => fakeCustomer(seed, at).email)).size).toBeGreaterThan(490)
  })

  it("change in one way at a time, and in several over time", () => {
    const changed = seeds.map((seed) => Object.keys(fakePatch(seed)))
    expect(changed.every((fields) => fields.length === 1)).toBe(true)
    expect(new Set(changed.flat())).toEqual(new Set(["address", "lastName", "email"]))
  })
})
