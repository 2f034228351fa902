import { setImmediate } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { bugs } from "./Planted.ts"
import * as Simulation from "./Simulation.ts"

const schedules = 2_000

/** Runs after which a planted bug must have shown. */
const runsPerBug = 400

const breathEvery = 20

// Faults are errors by the thousand: nobody looks at where they were made.
const { stackTraceLimit } = Error
beforeAll(() => void (Error.stackTraceLimit = 0))
afterAll(() => void (Error.stackTraceLimit = stackTraceLimit))

const seeds = (count: number) => Array.from({ length: count }, (_, at) => at + 1)

/** What a failed test shows: enough to run it again. */
const described = ({ seed, violations }: Simulation.Outcome) =>
  violations.slice(0, 3).map(({ at, promise, what }) => `seed ${seed}, ${at} ms, ${promise}: ${what}`)

describe("the simulation", () => {
  it(`keeps every promise in ${schedules} schedules`, { timeout: 600_000 }, async () => {
    let duplicates = 0
    const broken: Array<string> = []
    for (const seed of seeds(schedules)) {
      const outcome = Simulation.run(seed)
      duplicates += outcome.duplicates
      broken.push(...described(outcome))
      // Runs never wait; the test runner has to be heard now and then.
      if (seed % breathEvery === 0) await setImmediate()
    }
    expect(broken).toEqual([])
    // The faults were real: without them nothing would come twice.
    expect(duplicates).toBeGreaterThan(schedules)
  })

  it("does exactly the same with the same seed, and something else with another", () => {
    const hashes = [7, 8, 9, 10].map((seed) => Simulation.run(seed).hash)
    expect([7, 8, 9, 10].map((seed) => Simulation.run(seed).hash)).toEqual(hashes)
    expect(new Set(hashes).size).toBe(hashes.length)
  })

  it("shows every event of a run, and the run is the same when it does", () => {
    const lines: Array<string> = []
    const shown = Simulation.run(7, { show: (line) => void lines.push(line) })
    expect(shown.hash).toBe(Simulation.run(7).hash)
    expect(lines).toHaveLength(shown.events)
  })
})

describe("the judge finds a planted bug:", () => {
  it.each(bugs)("$what", { timeout: 300_000 }, async ({ needs, ...bug }) => {
    let caught: number | undefined
    for (const seed of seeds(runsPerBug)) {
      if (Simulation.run(seed, { bug: { needs, ...bug } }).violations.length > 0) caught = seed
      if (caught !== undefined) break
      await setImmediate()
    }
    expect(caught).toBeDefined()
    // It is the bug that breaks promises, not the faults that it needs.
    const sound = Simulation.run(caught ?? 0, { bug: { needs, name: "none", what: "nothing" } })
    expect(described(sound)).toEqual([])
  })
})
