import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck } from "effect"
import * as MergePatch from "../src/MergePatch.ts"

const apply = (target: unknown, patch: unknown) => Either.getOrThrow(MergePatch.apply(target, patch))

describe("MergePatch.apply", () => {
  // https://www.rfc-editor.org/rfc/rfc7396#appendix-A
  it.each<[unknown, unknown, unknown]>([
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [
      ["a", "b"],
      ["c", "d"],
      ["c", "d"]
    ],
    [{ a: "b" }, ["c"], ["c"]],
    [{ a: "foo" }, null, null],
    [{ a: "foo" }, "bar", "bar"],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }]
  ])("makes of %j with %j what RFC 7396 says", (target, patch, expected) => {
    expect(apply(target, patch)).toEqual(expected)
  })

  it("changes neither of them", () => {
    const target = Object.freeze({ a: Object.freeze({ b: 1, c: 2 }) })
    const patch = Object.freeze({ a: Object.freeze({ b: null, d: 3 }) })
    expect(apply(target, patch)).toEqual({ a: { c: 2, d: 3 } })
    expect([target, patch]).toEqual([{ a: { b: 1, c: 2 } }, { a: { b: null, d: 3 } }])
  })

  it("takes a member named __proto__ for what it is", () => {
    const merged = apply(JSON.parse('{"a":1}'), JSON.parse('{"__proto__":{"isAdmin":true}}'))
    expect(JSON.stringify(merged)).toBe('{"a":1,"__proto__":{"isAdmin":true}}')
    expect((merged as { isAdmin?: boolean }).isAdmin).toBe(undefined)
    expect(JSON.stringify(apply(merged, JSON.parse('{"__proto__":null}')))).toBe('{"a":1}')
  })

  it("refuses a patch with more objects inside one another than its limit", () => {
    const deep = (depth: number) => JSON.parse('{"a":'.repeat(depth) + "1" + "}".repeat(depth)) as unknown
    expect(apply({}, deep(MergePatch.maxDepth))).toEqual(deep(MergePatch.maxDepth))
    for (const depth of [MergePatch.maxDepth + 1, 1_000_000]) {
      const refused = Either.flip(MergePatch.apply({}, deep(depth)))
      expect(Either.getOrThrow(refused)).toMatchObject({
        _tag: "PatchTooDeep",
        maxDepth: MergePatch.maxDepth
      })
    }
  })

  it("does the same twice as once", () => {
    const json = FastCheck.jsonValue({ maxDepth: 4 })
    FastCheck.assert(
      FastCheck.property(json, json, (target, patch) => {
        const once = apply(target, patch)
        expect(apply(once, patch)).toEqual(once)
      })
    )
  })
})
