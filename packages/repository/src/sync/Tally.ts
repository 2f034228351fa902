import type { Finding } from "./Comparison.ts"

/** Kinds of differences that are put right. */
export const repairable = ["missing", "stale", "outdated", "altered", "unversioned", "extra"] as const

/** What became of the documents that were looked at. */
export interface Tally {
  /** Originals, and twins without any. */
  readonly examined: number
  /** Twins made where there was none. */
  readonly missing: number
  /** Twins of another version than their original. */
  readonly stale: number
  /** Twins of another key version or other privacy rules. */
  readonly outdated: number
  /** Twins that were not what becomes of their original. */
  readonly altered: number
  /** Originals that had no version. */
  readonly unversioned: number
  /** Twins without original. */
  readonly extra: number
  /** Originals that do not fit the Schema: they are left as they are. */
  readonly unfit: number
  /** What others had put right before, or have written just then. */
  readonly overtaken: number
  /** What MongoDB refused for the sake of the document: it is left as it is. */
  readonly failed: number
}

export type Kind = Exclude<keyof Tally, "examined" | "overtaken" | "failed">

export const none: Tally = {
  examined: 0,
  missing: 0,
  stale: 0,
  outdated: 0,
  altered: 0,
  unversioned: 0,
  extra: 0,
  unfit: 0,
  overtaken: 0,
  failed: 0
}

export const names = Object.keys(none) as ReadonlyArray<keyof Tally>

/** Adds up, field by field; what is not there counts as 0. */
export const add = (left: Tally, right: Partial<Tally>): Tally =>
  Object.fromEntries(names.map((name) => [name, left[name] + (right[name] ?? 0)])) as unknown as Tally

const kinds: Readonly<Record<Finding["difference"]["_tag"], Kind>> = {
  Missing: "missing",
  Stale: "stale",
  Outdated: "outdated",
  Altered: "altered",
  Unversioned: "unversioned",
  Extra: "extra",
  Unfit: "unfit"
}

export const kindOf = ({ difference }: Pick<Finding, "difference">): Kind => kinds[difference._tag]

/** Documents that were written. */
export const written = (tally: Tally): number => repairable.reduce((sum, kind) => sum + tally[kind], 0)
