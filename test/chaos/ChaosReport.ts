import { Duration } from "effect"
import { kinds } from "./ChaosPlan.ts"
import type { Outcome } from "./Chaos.ts"

const count = (value: number): string => value.toLocaleString("en-US")

const row = (name: string, value: string): string => `  ${name.padEnd(28)} ${value}`

const seconds = (millis: number): string => `${(millis / 1_000).toFixed(1)} s`

const median = (sorted: ReadonlyArray<number>): number => sorted[Math.floor(sorted.length / 2)] ?? 0

const takeOverText = (millis: ReadonlyArray<number>): string => {
  const sorted = millis.toSorted((a, b) => a - b)
  return `${sorted.length}, median ${seconds(median(sorted))}, longest ${seconds(sorted.at(-1) ?? 0)}`
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
      [...outcome.failures].map(([name, { length }]) => `${name}: ${length}`).join(", ")
    ),
    row("take-overs in calm", takeOverText(faults.takeOverMillis)),
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

/** The last words of processes that ended by themselves. */
export const failures = (outcome: Outcome): string =>
  [...outcome.failures]
    .flatMap(([name, reasons]) => reasons.map((reason) => `--- ${name} ended by itself\n${reason}`))
    .join("\n")

/** The last lines of every process. */
export const lastWords = (outcome: Outcome): string =>
  [...outcome.lastWords]
    .map(([name, words]) => `--- ${name}\n${words.trim().split("\n").slice(-lastLines).join("\n")}`)
    .join("\n")
