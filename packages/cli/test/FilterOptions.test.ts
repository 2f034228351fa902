import { Either, Option } from "effect"
import { describe, expect, it } from "vitest"
import * as FilterOptions from "../src/FilterOptions.ts"

const now = Date.parse("2026-11-21T12:00:00Z")
const hour = 3_600_000
const none = Option.none<string>()
const nothing: FilterOptions.Typed = {
  ids: [],
  sink: none,
  key: none,
  topic: none,
  reason: none,
  since: none,
  before: none
}
const problem = <A>(result: Either.Either<A, string>) =>
  Either.getOrThrowWith(Either.flip(result), () => "none")

describe("FilterOptions.toFilter", () => {
  it("is empty when nothing was typed", () => {
    expect(FilterOptions.toFilter(nothing, now)).toEqual(Either.right({}))
  })

  it("holds all that was typed, ages counted back from now", () => {
    const typed: FilterOptions.Typed = {
      ids: ["a", "b"],
      sink: Option.some("mirror"),
      key: Option.some("customer/42"),
      topic: Option.some("customers"),
      reason: Option.some("Rejected"),
      since: Option.some("2h"),
      before: Option.some("2026-11-21T11:00")
    }
    expect(FilterOptions.toFilter(typed, now)).toEqual(
      Either.right({
        messageIds: ["a", "b"],
        sink: "mirror",
        key: "customer/42",
        topic: "customers",
        reason: "Rejected",
        from: now - 2 * hour,
        before: now - hour
      })
    )
  })

  it.each([
    ["--since", { since: Option.some("yesterday") }],
    ["--before", { before: Option.some("2026-02-30") }],
    ["--key", { key: Option.some("42") }],
    ["--since must lie before --before", { since: Option.some("1h"), before: Option.some("2h") }],
    ["--id", { ids: Array.from({ length: FilterOptions.maxIds + 1 }, String) }]
  ])("says what is wrong with %s", (name, typed) => {
    expect(problem(FilterOptions.toFilter({ ...nothing, ...typed }, now))).toContain(name)
  })
})

describe("FilterOptions.toConsciousFilter", () => {
  it("does not take silence for all of them", () => {
    expect(problem(FilterOptions.toConsciousFilter({ ...nothing, all: false }, now))).toContain("--all")
  })

  it("takes --all for all of them", () => {
    expect(FilterOptions.toConsciousFilter({ ...nothing, all: true }, now)).toEqual(Either.right({}))
  })

  it("keeps to the filter, with --all and without", () => {
    for (const all of [true, false]) {
      const typed = { ...nothing, sink: Option.some("mirror"), all }
      expect(FilterOptions.toConsciousFilter(typed, now)).toEqual(Either.right({ sink: "mirror" }))
    }
  })
})
