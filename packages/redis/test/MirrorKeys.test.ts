import { describe, expect, it } from "@effect/vitest"
import { MirrorKeys } from "@twinbox/redis"

const keys = MirrorKeys.make((stream) => stream)

/** The part of a name that chooses its cluster slot: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags */
const slotPart = (name: string): string => {
  const open = name.indexOf("{")
  const close = name.indexOf("}", open + 1)
  return open >= 0 && close > open + 1 ? name.slice(open + 1, close) : name
}

describe("names of keys", () => {
  it("a record's hash is its stream, a colon and its id", () => {
    expect(keys.data("customer/42")).toBe("customer:42")
    expect(keys.data("customer/a/b:c")).toBe("customer:a/b:c")
  })

  it("a tombstone is in the cluster slot of its hash", () => {
    expect(keys.tombstone("customer:42")).toBe("tombstone:{customer:42}")
    for (const id of ["42", "a/b", "{tag}", "x{tag}y", "{", "a{b", "ä 🙂"]) {
      const data = keys.data(`customer/${id}`)
      expect(slotPart(keys.tombstone(data))).toBe(slotPart(data))
    }
  })

  it("no two records share a name", () => {
    const names = ["42", "{42}", "{customer:42}", "customer:42", "}", "{}"].flatMap((id) => {
      const data = keys.data(`customer/${id}`)
      return [data, keys.tombstone(data)]
    })
    expect(new Set(names).size).toBe(names.length)
  })
})
