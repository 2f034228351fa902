import { describe, expect, it } from "vitest"
import * as Age from "../src/Age.ts"

const now = Date.parse("2026-11-21T12:00:00Z")
const second = 1_000
const hour = 3_600_000

describe("Age.since", () => {
  it.each([
    [0, "0s"],
    [999, "0s"],
    [59 * second, "59s"],
    [60 * second, "1m"],
    [59 * 60 * second, "59m"],
    [hour, "1h"],
    [23.9 * hour, "23h"],
    [24 * hour, "1d"],
    [400 * 24 * hour, "400d"]
  ])("tells %d milliseconds in the largest unit that fits: %s", (millis, text) => {
    expect(Age.since(now - millis, now)).toBe(text)
  })

  it("is 0s for a clock that is ahead", () => {
    expect(Age.since(now + hour, now)).toBe("0s")
  })
})

describe("Age.parse", () => {
  it.each([
    ["0s", 0],
    ["90s", 90 * second],
    ["15m", 900 * second],
    ["2h", 2 * hour],
    ["7d", 168 * hour],
    ["4w", 672 * hour]
  ])("reads %s", (text, millis) => {
    expect(Age.parse(text)).toBe(millis)
  })

  it.each(["", "2", "h", "2 h", "-2h", "1.5h", "2H", "2h30m", "2h ", "9999999999s"])(
    "refuses '%s'",
    (text) => {
      expect(Age.parse(text)).toBeUndefined()
    }
  )
})
