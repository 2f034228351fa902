import { parseArgs } from "node:util"
import { bugs } from "./Planted.ts"
import { faults } from "./Scenario.ts"
import * as Simulation from "./Simulation.ts"

const usage = `npm run simulate -- [--runs 2000] [--from 1] [--seed N [--trace]] [--planted NAME] [--without FAULT,FAULT]

Runs schedules of writers, relays, sinks, a store and people on a virtual clock, one for each seed, and judges them.
Exits with 1 when a promise was broken, and prints the seeds that show it.
  --runs     how many
  --from     the first seed
  --seed     runs this one alone: it does exactly the same each time
  --trace    prints all that happens
  --planted  with a bug planted: ${bugs.map(({ name }) => name).join(", ")}
  --without  faults that are left out: ${faults.join(", ")}
`

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "2000" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
    planted: { type: "string" },
    without: { type: "string", default: "" },
    help: { type: "boolean", default: false }
  }
})

const print = (text: string) => void process.stdout.write(`${text}\n`)

/** Violations shown of one run, at most. */
const maxShown = 5

const progressEveryMillis = 5_000

const bug = bugs.find(({ name }) => name === values.planted)
const options: Simulation.Options = {
  without: new Set(values.without.split(",")),
  ...(bug === undefined ? {} : { bug }),
  ...(values.trace ? { show: print } : {})
}

const describe = ({ scenario, seed, violations }: Simulation.Outcome): string =>
  [
    `seed ${seed}: ${violations.length} violations; faults: ${[...scenario.faults].join(" ")}`,
    ...violations
      .slice(0, maxShown)
      .map(({ at, promise, what }) => `  ${at.toFixed(0)} ms ${promise}: ${what}`)
  ].join("\n")

const runOne = (seed: number) => {
  const outcome = Simulation.run(seed, options)
  if (outcome.violations.length > 0) print(describe(outcome))
  const { duplicates, events, hash, lateCalls, messages, violations, virtualMillis } = outcome
  print(
    JSON.stringify({
      seed,
      hash,
      events,
      messages,
      duplicates,
      lateCalls,
      virtualMillis,
      violations: violations.length
    })
  )
  return violations.length > 0 ? 1 : 0
}

const runMany = (first: number, count: number) => {
  const began = performance.now()
  const failed = new Map<string, Array<number>>()
  const totals = { messages: 0, duplicates: 0, lateCalls: 0, virtualMillis: 0, events: 0 }
  let shownAt = began
  for (let seed = first; seed < first + count; seed++) {
    const outcome = Simulation.run(seed, options)
    for (const name of Object.keys(totals) as Array<keyof typeof totals>) totals[name] += outcome[name]
    const [violation] = outcome.violations
    if (violation !== undefined) {
      print(describe(outcome))
      failed.set(violation.promise, [...(failed.get(violation.promise) ?? []), seed])
    }
    if (performance.now() - shownAt < progressEveryMillis) continue
    shownAt = performance.now()
    const done = seed - first + 1
    print(`${done} of ${count} runs, ${((shownAt - began) / done).toFixed(1)} ms each`)
  }
  const seconds = (performance.now() - began) / 1_000
  const broken = [...failed.values()].flat().length
  print(
    `\n${count} runs in ${seconds.toFixed(0)} s (${((1_000 * seconds) / count).toFixed(1)} ms each): ${broken} broke a promise`
  )
  print(
    `${totals.messages} messages, ${totals.duplicates} duplicates, ${totals.lateCalls} late calls, ` +
      `${totals.events} events in ${(totals.virtualMillis / 3_600_000).toFixed(1)} virtual hours`
  )
  for (const [promise, seeds] of failed)
    print(`${promise}: ${seeds.length} runs, seeds ${seeds.slice(0, 20).join(" ")}`)
  return broken
}

const main = () => {
  if (values.help) return print(usage)
  if (values.planted !== undefined && bug === undefined) {
    print(usage)
    process.exitCode = 2
    return
  }
  // Faults are errors by the thousand: nobody looks at where they were made.
  Error.stackTraceLimit = 0
  const broken =
    values.seed === undefined
      ? runMany(Number(values.from), Number(values.runs))
      : runOne(Number(values.seed))
  if (broken > 0) process.exitCode = 1
}

main()
