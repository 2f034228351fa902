import { Options } from "@effect/cli"
import type { TwinSync } from "@twinbox/repository"
import { Schema } from "effect"
import * as Age from "./Age.ts"
import * as Count from "./Count.ts"
import * as Limit from "./Limit.ts"
import * as Table from "./Table.ts"

/** A document that was not in step. */
export interface Listed {
  /** Where it was found: `twins`, or the name of a mirror. */
  readonly where: string
  readonly report: TwinSync.SyncReport
  /** Seconds since it was first seen; undefined: it was acted on at once. */
  readonly ageSeconds: number | undefined
}

const preset = 20

/** `--limit` */
export const limit = Options.integer("limit").pipe(
  Options.withPseudoName("N"),
  Options.withDescription(`How many of the documents to list, 0 to ${Limit.max}. Default ${preset}.`),
  Options.withSchema(
    Schema.Int.pipe(
      Schema.between(0, Limit.max, { message: () => `--limit must be a whole number from 0 to ${Limit.max}` })
    )
  ),
  Options.withDefault(preset)
)

/** Twins that would go come before all others: of them nothing could be made again. */
const isFirst = ({ report }: Listed): boolean => report.kind === "extra"

/** Keeps as many as are shown, however many there are. */
export class DifferenceList {
  readonly #limit: number
  readonly #first: Array<Listed> = []
  readonly #others: Array<Listed> = []
  #count = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  add(one: Listed): void {
    this.#count += 1
    const list = isFirst(one) ? this.#first : this.#others
    if (list.length < this.#limit) list.push(one)
  }

  get shown(): ReadonlyArray<Listed> {
    return [...this.#first, ...this.#others].slice(0, this.#limit)
  }

  /** How many are not shown. */
  get more(): number {
    return this.#count - this.shown.length
  }

  /** For programs. */
  get document() {
    return {
      differences: this.shown.map(({ ageSeconds, report, where }) => ({
        where,
        id: report.id,
        kind: report.kind,
        outcome: report.outcome.toLowerCase(),
        details: report.details,
        ...(ageSeconds === undefined ? {} : { ageSeconds: Math.round(ageSeconds * 10) / 10 })
      })),
      more: this.more
    }
  }

  /** A table; undefined when there is nothing to show. */
  get text(): string | undefined {
    if (this.shown.length === 0) return undefined
    const table = Table.render(
      columns,
      this.shown.map(({ ageSeconds, report, where }) => [
        where,
        report.id,
        report.kind,
        report.outcome.toLowerCase(),
        ageSeconds === undefined ? "-" : Age.since(0, ageSeconds * 1_000),
        report.details.join(", ")
      ])
    )
    return this.more === 0 ? table : `${table}\n\nand ${Count.text(this.more)} more; --limit shows more`
  }
}

const columns = [
  { title: "IN" },
  { title: "ID" },
  { title: "KIND" },
  { title: "OUTCOME" },
  { title: "AGE", alignsRight: true },
  { title: "DETAILS" }
]
