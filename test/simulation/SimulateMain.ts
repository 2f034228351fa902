import { parseArgs } from "node:util"
import * as Simulation from "./Simulation.ts"

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "2000" },
    seed: { type: "string" },
    from: { type: "string", default: "1" },
    without: { type: "string", default: "" },
    trace: { type: "boolean", default: false }
  }
})
const without = new Set(values.without.split(",").filter((name) => name !== ""))
const seeds = values.seed === undefined ? undefined : Number(values.seed)
const first = seeds ?? Number(values.from)
const count = seeds === undefined ? Number(values.runs) : 1
const began = performance.now()
let failed = 0
let virtual = 0, dup = 0, late = 0, msgs = 0, events = 0
const tally = new Map<string, Array<number>>()
for (let seed = first; seed < first + count; seed++) {
  const t = performance.now()
  const outcome = Simulation.run(seed, { without, ...(values.trace ? { show: (line: string) => process.stdout.write(line + "\n") } : {}) })
  virtual += outcome.virtualMillis; dup += outcome.duplicates; late += outcome.lateCalls; msgs += outcome.messages; events += outcome.events
  if (outcome.violations.length > 0) {
    failed += 1
    const kind = outcome.violations[0]!.promise
    tally.set(kind, [...(tally.get(kind) ?? []), seed])
    if (count === 1 || failed < 6) console.log(seed, [...outcome.scenario.faults].join(","), "\n ", outcome.violations.slice(0, count === 1 ? 20 : 3).map((v) => `${v.at.toFixed(0)} ${v.promise}: ${v.what.slice(0, 600)}`).join("\n  "))
  }
  if (count === 1) console.log(JSON.stringify({ ...outcome, violations: outcome.violations.length, scenario: { ...outcome.scenario, faults: [...outcome.scenario.faults] } }), 0)
}
console.log({ count, failed, ms: (process.cpuUsage().user / 1000) / count, virtual: virtual / count, dup: dup / count, late, msgs: msgs / count, events: events / count })
for (const [kind, seeds] of tally) console.log(kind, seeds.length, seeds.slice(0, 12).join(" "))
