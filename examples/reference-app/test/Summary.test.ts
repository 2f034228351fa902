import { Option } from "effect"
import { describe, expect, it } from "vitest"
import { judge, render, type Summary } from "../src/Summary.ts"

const complete: Summary = { originals: 1234, twins: 1234, mirrored: Option.some(1234), outbox: 0, dead: 0 }
const oneMissing: Summary = { ...complete, mirrored: Option.some(1233) }

describe("the verdict", () => {
  it("is good when everything has arrived", () => {
    expect(judge(complete, true)).toEqual({
      agrees: true,
      sentence: "originals = twins = mirrored, and the outbox is empty"
    })
  })

  it("is bad when twins are missing, whoever else is at work", () => {
    expect(judge({ ...complete, twins: 1233 }, true).agrees).toBe(false)
    expect(judge({ ...complete, twins: 1233, mirrored: Option.none() }, false).agrees).toBe(false)
  })

  it("tells what is late from what is lost and what was given up", () => {
    expect(judge({ ...oneMissing, outbox: 1 }, true)).toMatchObject({ agrees: false })
    expect(judge({ ...oneMissing, outbox: 1 }, true).sentence).toContain("the next run delivers")
    expect(judge(oneMissing, true).sentence).toContain("differ, and the outbox is empty")
    expect(judge({ ...oneMissing, dead: 1 }, true).sentence).toContain("given up")
  })

  it("does not hold against a process what others are still doing", () => {
    expect(judge({ ...oneMissing, outbox: 3 }, false).agrees).toBe(true)
    expect(judge({ ...complete, mirrored: Option.none(), outbox: 9 }, false).agrees).toBe(true)
  })
})

it("the summary is a table of exact counts", () => {
  expect(render({ ...complete, dead: 2 })).toEqual([
    "  originals         1,234",
    "  twins             1,234",
    "  mirrored          1,234",
    "  outbox                0",
    "  given up              2"
  ])
  expect(render({ ...complete, mirrored: Option.none() })[2]).toBe("  mirrored    not counted")
})
