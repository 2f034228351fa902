import { describe, expect, it } from "vitest"
import * as Moment from "../src/Moment.ts"

const now = Date.parse("2026-11-21T12:00:00Z")
const parsed = (text: string) => {
  const at = Moment.parse(text, now)
  return at === undefined ? undefined : new Date(at).toISOString()
}

describe("Moment.parse", () => {
  it.each([
    ["2026-11-21", "2026-11-21T00:00:00.000Z"],
    ["2026-11-21T10:00", "2026-11-21T10:00:00.000Z"],
    ["2026-11-21T10:00:05", "2026-11-21T10:00:05.000Z"],
    ["2026-11-21T10:00:05.25Z", "2026-11-21T10:00:05.250Z"],
    ["2026-11-21T10:00+02:00", "2026-11-21T08:00:00.000Z"],
    ["2024-02-29", "2024-02-29T00:00:00.000Z"],
    ["2h", "2026-11-21T10:00:00.000Z"]
  ])("reads %s, in UTC when it names no zone", (text, iso) => {
    // The zone of the machine must not count: 10:00 in New York is another moment.
    const zone = process.env["TZ"]
    process.env["TZ"] = "America/New_York"
    try {
      expect(parsed(text)).toBe(iso)
    } finally {
      if (zone === undefined) delete process.env["TZ"]
      else process.env["TZ"] = zone
    }
  })

  it.each([
    "",
    "today",
    "2026",
    "2026-11",
    "21.11.2026",
    "2026-02-30",
    "2026-13-01",
    "2026-11-21T25:00",
    "2026-11-21 10:00"
  ])("refuses '%s'", (text) => {
    expect(parsed(text)).toBeUndefined()
  })
})
