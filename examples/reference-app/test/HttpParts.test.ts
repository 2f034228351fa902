import { Either } from "effect"
import { describe, expect, it } from "vitest"
import * as ApiTokens from "../src/ApiTokens.ts"
import * as ETag from "../src/ETag.ts"
import * as IdempotencyKey from "../src/IdempotencyKey.ts"
import * as Loopback from "../src/Loopback.ts"

describe("Entity tags", () => {
  it.each([
    ['"3"', [3]],
    [' "3" , "4"\t,"5"', [3, 4, 5]],
    ['W/"3", "4"', [4]],
    ['"", "a,b", "3", "1e1", "03", "-1", "0"', [3, 0]],
    [', "3",, ,', [3]]
  ])("%s names the versions %j to the strong comparison", (header, versions) => {
    expect(Either.map(ETag.parse(header), (tags) => tags !== "any" && ETag.versionsOf(tags))).toEqual(
      Either.right(versions)
    )
  })

  it("are weakly the same with a W/ as without, and * is any", () => {
    const isNamed = (header: string, version: number) =>
      Either.getOrThrow(Either.map(ETag.parse(header), (tags) => ETag.isNamed(tags, version)))
    expect(isNamed('W/"3"', 3)).toBe(true)
    expect(isNamed('"4", "3"', 3)).toBe(true)
    expect(isNamed(" * ", 3)).toBe(true)
    expect(isNamed('"4"', 3)).toBe(false)
  })

  it.each(["3", "", " ", ",", '"3', '3"', '"3" "4"', '*, "3"', 'w/"3"', 'W/ "3"', '"3";', '"a b"'])(
    "%j is malformed",
    (header) => {
      expect(ETag.parse(header)).toEqual(Either.left(ETag.malformed))
    }
  )

  it("take time in proportion to their length", () => {
    const started = performance.now()
    for (const text of ['"a",', '"', "W/", " ", ",", 'W/"', "\t,"]) ETag.parse(text.repeat(100_000))
    expect(performance.now() - started).toBeLessThan(2_000)
  })
})

describe("Idempotency keys", () => {
  it.each([
    ['"8e03978e-40d5"', "8e03978e-40d5"],
    ["8e03978e-40d5", "8e03978e-40d5"],
    [' "a b, c" ', "a b, c"]
  ])("%s is read as %s", (header, key) => {
    expect(IdempotencyKey.parse(header)).toEqual(Either.right(key))
  })

  it.each(["", '""', '"', '"a', "a b", "a,b", '"a"b"', "ü", `"${"a".repeat(256)}"`])(
    "%j is malformed",
    (header) => {
      expect(IdempotencyKey.parse(header)).toEqual(Either.left(IdempotencyKey.malformed))
    }
  )

  it("are kept as digests that depend on user, key and body, each in its place", () => {
    const of = IdempotencyKey.of
    expect(of("ann", "k", "{}")).toEqual(of("ann", "k", "{}"))
    expect(of("ann", "k", "{}").key).not.toBe(of("bob", "k", "{}").key)
    expect(of("ann", "k", "{}").key).toBe(of("ann", "k", "[]").key)
    expect(of("ann", "k", "{}").digest).not.toBe(of("ann", "k", "[]").digest)
    expect(of("ann", "k", "{}").digest).not.toBe(of("ann", "l", "{}").digest)
    expect(of("a", "bc", "").key).not.toBe(of("ab", "c", "").key)
  })
})

describe("API_TOKENS", () => {
  const token = "abcdefghijklmnop"
  const ann = { user: "ann", permissions: ["customers:read", "admin"] }

  it("are kept as digests, with their users and permissions", () => {
    const parsed = ApiTokens.parse(JSON.stringify({ [token]: ann }))
    expect(parsed).toEqual(
      new Map([[ApiTokens.digestOf(token), { user: "ann", permissions: new Set(ann.permissions) }]])
    )
    expect(JSON.stringify([...(parsed ?? [])])).not.toContain(token)
  })

  it.each([
    ["no JSON", "{"],
    ["a list", "[]"],
    ["none", "{}"],
    ["a short token", JSON.stringify({ abcdefghijklmno: ann })],
    ["a token with a blank", JSON.stringify({ [`${token} x`]: ann })],
    ["an unknown permission", JSON.stringify({ [token]: { ...ann, permissions: ["customers:delete"] } })],
    ["no permissions", JSON.stringify({ [token]: { user: "ann" } })],
    ["no user", JSON.stringify({ [token]: { permissions: [] } })],
    ["an empty user", JSON.stringify({ [token]: { ...ann, user: "" } })],
    ["an unknown field", JSON.stringify({ [token]: { ...ann, role: "x" } })],
    ["one good and one bad", JSON.stringify({ [token]: ann, short: ann })]
  ])("are refused: %s", (_, text) => {
    expect(ApiTokens.parse(text)).toBe(undefined)
  })
})

describe("Names of this machine", () => {
  it.each([
    ["127.0.0.1", true],
    ["localhost", true],
    ["LOCALHOST", true],
    ["::1", true],
    ["0.0.0.0", false],
    ["::", false],
    ["", false],
    ["192.0.2.1", false],
    ["localhost.example.com", false]
  ])("%j: %s", (host, isOwn) => {
    expect(Loopback.isLoopback(host)).toBe(isOwn)
  })
})
