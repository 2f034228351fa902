import { describe, expect, it } from "@effect/vitest"
import { ProgressText, SummaryText, SyncTally, type TwinSync } from "@twinbox/repository"

const progress = (fields: Partial<TwinSync.Progress> = {}): TwinSync.Progress => ({
  done: 450_000,
  total: 1_000_000,
  differing: 120,
  perSecond: 12_000.4,
  remainingSeconds: 45.2,
  ...fields
})

describe("ProgressText", () => {
  it("says how far a run is, how fast, and how long it takes still", () => {
    expect(ProgressText.line(progress())).toBe("45%, 450,000 of 1,000,000, 120 differ, 12,000/s, 46s left")
    expect(ProgressText.bar(progress())).toBe(`[##########--------------] ${ProgressText.line(progress())}`)
  })

  it.each([
    [0, "0s"],
    [59, "59s"],
    [60, "1m 0s"],
    [725, "12m 5s"],
    [3_600, "1h 0m"],
    [100_000, "27h 46m"]
  ])("writes %d seconds as %s", (remainingSeconds, text) => {
    expect(ProgressText.line(progress({ remainingSeconds }))).toContain(`, ${text} left`)
  })

  it("does not say how long while nobody can tell", () => {
    expect(ProgressText.line(progress({ perSecond: 0, remainingSeconds: undefined }))).toMatch(/, 0\/s$/)
  })

  it("never says 100% before the end, and says it of nothing", () => {
    expect(ProgressText.bar(progress({ done: 999_999 }))).toMatch(/^\[#{23}-\] 99%/)
    expect(ProgressText.bar(progress({ done: 1_000_000 }))).toMatch(/^\[#{24}\] 100%/)
    expect(ProgressText.bar(progress({ done: 0, total: 0 }))).toMatch(/^\[#{24}\] 100%/)
  })
})

describe("SummaryText", () => {
  const tally = {
    ...SyncTally.none,
    examined: 1_500,
    missing: 900,
    extra: 2,
    unfit: 10,
    failed: 1,
    overtaken: 5
  }

  it("counts what was in step, or had been put right by others", () => {
    expect(SummaryText.inStep(tally)).toBe(587)
    expect(SummaryText.sentence(tally)).toBe(
      "1,500 documents compared: 587 in step, 902 put right, 10 not fitting the Schema, 1 failed"
    )
  })

  it("names the kinds that there were", () => {
    expect(SummaryText.kinds(tally)).toEqual(["900 missing: twin made", "2 extra: twin removed"])
    expect(SummaryText.kinds(SyncTally.none)).toEqual([])
  })
})
