import * as Tally from "./Tally.ts"

const format = new Intl.NumberFormat("en")

const done: Readonly<Record<(typeof Tally.repairable)[number], string>> = {
  missing: "twin made",
  stale: "twin made anew",
  outdated: "twin made anew under the present key and rules",
  altered: "twin made anew",
  unversioned: "version given, twin made",
  extra: "twin removed"
}

/** Documents that needed nothing, or had got it from others by then. */
export const inStep = (tally: Tally.Tally): number =>
  Math.max(0, tally.examined - Tally.written(tally) - tally.unfit - tally.failed)

/** What a reindex has done, in one sentence. */
export const sentence = (tally: Tally.Tally): string => {
  const what = tally.examined === 1 ? "document" : "documents"
  const counts = [
    `${format.format(inStep(tally))} in step`,
    `${format.format(Tally.written(tally))} put right`,
    `${format.format(tally.unfit)} not fitting the Schema`,
    `${format.format(tally.failed)} failed`
  ]
  return `${format.format(tally.examined)} ${what} compared: ${counts.join(", ")}`
}

/** What was put right, a line for each kind that there was. */
export const kinds = (tally: Tally.Tally): ReadonlyArray<string> =>
  Tally.repairable
    .filter((kind) => tally[kind] > 0)
    .map((kind) => `${format.format(tally[kind])} ${kind}: ${done[kind]}`)
