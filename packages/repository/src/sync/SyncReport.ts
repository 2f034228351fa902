import { Effect } from "effect"
import type { Finding } from "./Comparison.ts"
import * as IdText from "./IdText.ts"
import * as Tally from "./Tally.ts"

/** What sync tells about one document. Names of fields and kinds of faults, never values. */
export interface SyncReport {
  /** The `_id`: text as it is, anything else as extended JSON. */
  readonly id: string
  readonly kind: Tally.Kind
  /**
   * `Found`: it differs, and nothing was written. `Written`: it is in step now. `Left`: it cannot have a twin.
   * `Overtaken`: it had been put right by the time that it was to be written. `Failed`: MongoDB refused the write.
   */
  readonly outcome: "Found" | "Written" | "Left" | "Overtaken" | "Failed"
  /** What is wrong: paths with problems, names of altered fields, or the error that refused a write. */
  readonly details: ReadonlyArray<string>
}

const detailsOf = ({ difference }: Finding): ReadonlyArray<string> => {
  switch (difference._tag) {
    case "Unfit":
      return difference.issues.map(({ path, problem }) => `${path || "the document"} ${problem}`)
    case "Altered":
      return difference.fields
    default:
      return []
  }
}

export const of = (
  finding: Finding,
  outcome: SyncReport["outcome"],
  error?: string | undefined
): SyncReport => ({
  id: IdText.of(finding.id),
  kind: Tally.kindOf(finding),
  outcome,
  details: error === undefined ? detailsOf(finding) : [error]
})

/** What reports add up to. */
export const tallyOf = (reports: ReadonlyArray<SyncReport>): Tally.Tally => {
  const counts: Record<keyof Tally.Tally, number> = { ...Tally.none }
  for (const { kind, outcome } of reports) {
    if (outcome === "Overtaken") counts.overtaken += 1
    else if (outcome === "Failed") counts.failed += 1
    else counts[kind] += 1
  }
  return counts
}

/** Documents named in one line of the log, at most. */
const maxNamed = 3

/** A line of the log at most in this time: a collection of which nothing fits would fill it. */
const quietMillis = 10_000

const sentence = ({ details, id }: SyncReport): string => `'${id}': ${details.join(", ")}`

/** Says in the log what was not put right: at once for the first of a while, and as a number for those after it. */
export class LeftLog {
  readonly #collection: string
  #silentUntilMillis = Number.NEGATIVE_INFINITY
  #unsaid = 0

  constructor(collection: string) {
    this.#collection = collection
  }

  warn(reports: ReadonlyArray<SyncReport>, nowMillis: number): Effect.Effect<void> {
    const left = reports.filter(({ outcome }) => outcome === "Left" || outcome === "Failed")
    if (left.length === 0) return Effect.void
    this.#unsaid += left.length
    if (nowMillis < this.#silentUntilMillis) return Effect.void
    const named = left.slice(0, maxNamed).map(sentence)
    const more = this.#unsaid > named.length ? [`and ${this.#unsaid - named.length} more`] : []
    const line = `sync leaves documents of '${this.#collection}' as they are: ${[...named, ...more].join("; ")}`
    this.#unsaid = 0
    this.#silentUntilMillis = nowMillis + quietMillis
    return Effect.logWarning(line)
  }
}
