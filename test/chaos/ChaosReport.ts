import { Duration } from "effect"
import { kinds } from "./ChaosPlan.ts"
import type { Outcome } from "./Chaos.ts"
import type { Taken } from "./Faults.ts"

const count = (value: number): string => value.toLocaleString("en-US")

const row = (name: string, value: string): string => `  ${name.padEnd(28)} ${value}`

const seconds = (millis: number): string => `${(millis / 1_000).toFixed(1)} s`

const median = (sorted: ReadonlyArray<number>): number => sorted[Math.floor(sorted.length / 2)] ?? 0

const takeOverText = (taken: ReadonlyArray<Taken>): string => {
  const sorted = taken.map(({ millis }) => millis).sort((a, b) => a - b)
  return sorted.length === 0
    ? "none"
    : `${sorted.length}, median ${seconds(median(sorted))}, longest ${seconds(sorted.at(-1) ?? 0)}`
}

/** Lines of each process's output that are worth a look when something went wrong. */
const lastLines = 15

/** What happened in a run, as a table for people. */
export const table = (outcome: Outcome): string => {
  const { faults, verdict } = outcome
  const { delivery, violations } = verdict
  const lines = [
    `seed ${outcome.seed}`,
    ...kinds.map((kind) => row(kind, count(faults.counts.get(kind) ?? 0))),
    row("processes killed", count(faults.kills)),
    row(
      "ended by themselves",
      [...outcome.failures].map(([name, failures]) => `${name}: ${failures}`).join(", ")
    ),
    row("take-overs, no other fault", takeOverText(faults.takeOvers.filter(({ isAlone }) => isAlone))),
    row("take-overs, other faults too", takeOverText(faults.takeOvers.filter(({ isAlone }) => !isAlone))),
    row("messages committed", count(outcome.committed)),
    row("arrivals", count(outcome.arrived)),
    row("duplicates", count(delivery.duplicates)),
    row("lost", count(delivery.lost.length)),
    row("out of order within a key", count(delivery.disordered.length)),
    row("empty after the last fault", seconds(Duration.toMillis(outcome.drained))),
    row("violations", count(violations.length)),
    ...violations.map((violation) => `  ! ${violation}`)
  ]
  return lines.join("\n")
}

/** The last lines of every process. */
export const lastWords = (outcome: Outcome): string =>
  [...outcome.lastWords]
    .map(([name, words]) => `--- ${name}\n${words.trim().split("\n").slice(-lastLines).join("\n")}`)
    .join("\n")
