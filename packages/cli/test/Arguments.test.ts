import { Either } from "effect"
import { describe, expect, it } from "vitest"
import * as Arguments from "../src/Arguments.ts"

const check = (line: string) => Either.merge(Arguments.check(line.split(" ")))

describe("Arguments.check", () => {
  it("puts each option apart from its value", () => {
    expect(check("requeue --sink=mirror --id a --id=b --uri=mongodb://x/?a=b")).toEqual(
      "requeue --sink mirror --id a --id b --uri mongodb://x/?a=b".split(" ")
    )
  })

  it("leaves words alone that are no options with values", () => {
    expect(check("sinks remove a=b --yes --json=true")).toEqual(
      "sinks remove a=b --yes --json=true".split(" ")
    )
  })

  it.each([
    ["requeue --all --id", "--id needs a value"],
    ["discard --sink= --yes", "--sink needs a value"],
    ["discard --sink --yes", "--sink needs a value"],
    ["discard --sink  --yes", "--sink needs a value"],
    ["dead --limit", "--limit needs a value"],
    ["dead --sink a --sink b", "--sink can be given once only"]
  ])("refuses '%s'", (line, problem) => {
    expect(check(line)).toBe(problem)
  })
})
