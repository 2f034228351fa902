import { describe, expect, it } from "vitest"
import { TokenBuckets } from "../src/TokenBuckets.ts"

const taken = (buckets: TokenBuckets, key: string, now: number, tries: number): number =>
  Array.from({ length: tries }, () => buckets.take(key, now)).filter(Boolean).length

describe("A token bucket", () => {
  it("lets twice its rate through at once, and its rate from then on", () => {
    const buckets = new TokenBuckets(10)
    expect(taken(buckets, "a", 0, 100)).toBe(20)
    expect(taken(buckets, "a", 99, 100)).toBe(0)
    expect(taken(buckets, "a", 100, 100)).toBe(1)
    expect(taken(buckets, "a", 600, 100)).toBe(5)
    expect(taken(buckets, "a", 1_000_000, 100)).toBe(20)
  })

  it("is each key's own", () => {
    const buckets = new TokenBuckets(1)
    expect(taken(buckets, "a", 0, 9)).toBe(2)
    expect(taken(buckets, "b", 0, 9)).toBe(2)
  })

  it("is forgotten when it is full again, and not before", () => {
    const buckets = new TokenBuckets(1)
    taken(buckets, "busy", 0, 9)
    for (let at = 0; at < 999; at++) buckets.take(`${at}`, 0)
    expect(buckets.keys).toBe(1_000)
    taken(buckets, "busy", 1_500, 9)
    buckets.take("next", 2_500)
    expect(buckets.keys).toBe(2)
    expect(taken(buckets, "busy", 2_500, 9)).toBe(1)
  })

  it("takes no memory without end from those who come but once", () => {
    const buckets = new TokenBuckets(1)
    for (let at = 0; at < 100_000; at++) buckets.take(`${at}`, at)
    expect(buckets.keys).toBeLessThan(5_000)
  })
})
