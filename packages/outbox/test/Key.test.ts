import { describe, expect, it } from "@effect/vitest"
import { MessageArbitrary } from "@twinbox/testkit"
import { Either, Schema } from "effect"
import * as Key from "../src/Key.ts"

describe("Key", () => {
  it.each([
    "customer/42",
    "customer/a/b",
    "order-line_2/x",
    "customer/ ",
    "customer/東京 😀",
    `customer/${"x".repeat(512)}`
  ])("accepts '%s'", (key) => {
    expect(Key.isKey(key)).toBe(true)
  })

  it.each([
    "",
    "customer",
    "customer/",
    "/42",
    "Customer/42",
    "2customers/42",
    "customer/4\n2",
    "customer/\u0000",
    "customer/\ud800",
    `customer/${"x".repeat(513)}`,
    // 512 characters, but more than 600 UTF-16 code units.
    `customer/${"😀".repeat(512)}`,
    `${"a".repeat(65)}/1`
  ])("refuses %j", (key) => {
    expect(Key.isKey(key)).toBe(false)
  })

  it("keeps slashes of the id", () => {
    const key = Key.make("customer", "a/b/c")
    expect([Key.streamOf(key), Key.idOf(key)]).toEqual(["customer", "a/b/c"])
  })

  it.prop("is made of its stream and its id, and its Schema agrees", [MessageArbitrary.key], ([key]) => {
    expect(Key.make(Key.streamOf(key), Key.idOf(key))).toBe(key)
    expect(Either.isRight(Schema.decodeUnknownEither(Key.KeySchema)(key))).toBe(true)
  })

  it("says in its error what a key looks like", () => {
    const result = Schema.decodeUnknownEither(Key.KeySchema)("nonsense")
    expect(String(Either.getLeft(result))).toContain("stream/id")
  })
})
