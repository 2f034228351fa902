import type { Message } from "@twinbox/outbox"
// Not by the package's name: its conformance suites load vitest, which runs nowhere but in a test.
import * as DeliveryChecker from "../../packages/testkit/src/DeliveryChecker.ts"
import { allArrived, type Findings } from "../setup/mirroredCustomers.ts"

/** What is there when everything has come to rest. */
export interface Evidence {
  /** Every message that ever committed. */
  readonly committed: ReadonlyMap<string, Message.Message>
  /** Every arrival at the log, in order. */
  readonly log: ReadonlyArray<DeliveryChecker.Received>
  /** The last version of every record that ever was, by message key: of the originals, and of the tombstones of those deleted. */
  readonly versions: ReadonlyMap<string, number>
  /** Originals, twins and mirror, compared. */
  readonly findings: Findings
  /** What was seen to be wrong on the way. */
  readonly incidents: ReadonlyArray<string>
}

export interface Verdict {
  readonly delivery: DeliveryChecker.Report
  /** What broke a promise, in words; empty when all is well. */
  readonly violations: ReadonlyArray<string>
}

/** Examples of one kind of violation. */
const examples = 5

const told = (what: string, found: ReadonlyArray<string>): ReadonlyArray<string> =>
  found.length === 0 ? [] : [`${found.length} ${what}: ${found.slice(0, examples).join("; ")}`]

/** Every version of a record has its message, and no message is of a version that never was. */
const unpublished = ({ committed, versions }: Evidence): ReadonlyArray<string> => {
  const sequences = new Map<string, Set<number>>()
  for (const { key, sequence } of committed.values()) {
    const known = sequences.get(key)
    if (known === undefined) sequences.set(key, new Set([sequence]))
    else known.add(sequence)
  }
  const keys = new Set([...sequences.keys(), ...versions.keys()])
  return [...keys].flatMap((key) => {
    const version = versions.get(key) ?? 0
    const found = sequences.get(key) ?? new Set()
    const missing = Array.from({ length: version }, (_, at) => at + 1).filter((one) => !found.has(one))
    return missing.length === 0 && found.size === version
      ? []
      : [`${key} has version ${version} and messages of ${found.size} versions`]
  })
}

const leftOver = (findings: Findings): ReadonlyArray<string> => {
  const { differences, ...counts } = findings
  const { differences: _, ...expected } = allArrived(findings)
  return Object.entries(expected).flatMap(([name, count]) => {
    const actual = counts[name as keyof typeof counts]
    return actual === count ? [] : [`${name}: ${actual}, not ${count}`]
  })
}

/** Judges a run: the log by what arrived and in which order, the mirror by how it ended up. */
export const judge = (evidence: Evidence): Verdict => {
  const delivery = DeliveryChecker.check({ committed: evidence.committed.values(), received: evidence.log })
  return {
    delivery,
    violations: [
      ...told("lost", delivery.lost),
      ...told(
        "out of order",
        delivery.disordered.map(({ after, id, orderKey }) => `${id} after ${after} of ${orderKey}`)
      ),
      ...told("delivered though never committed", delivery.neverCommitted),
      ...told("altered on the way", delivery.altered),
      ...told("records and messages that do not fit", unpublished(evidence)),
      ...told("differences of originals, twins and mirror", evidence.findings.differences),
      ...told("counts that should be others", leftOver(evidence.findings)),
      ...evidence.incidents
    ]
  }
}
