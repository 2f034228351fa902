import { SyncTally, type TwinSync } from "@twinbox/repository"
import { Effect } from "effect"
import * as Count from "./Count.ts"
import type { DifferenceList } from "./DifferenceList.ts"
import * as LongWork from "./LongWork.ts"
import * as Table from "./Table.ts"

/** What was compared with the originals or with what was published, and what came of it. */
export interface Compared extends TwinSync.VerifySummary {
  /** `twins`, or the name of a mirror. */
  readonly where: string
}

/** The name of the comparison of originals with twins. */
export const twins = "twins"

/** Does one comparison with its progress; what differs goes into the list. */
export const run = <E>(
  where: string,
  list: DifferenceList,
  options: TwinSync.VerifyOptions,
  verify: (options: TwinSync.VerifyOptions) => Effect.Effect<TwinSync.VerifySummary, E>
) =>
  LongWork.run(
    { doing: `comparing ${where}`, afterStop: "the same command begins anew; what was repaired stays so" },
    (onProgress) =>
      Effect.map(
        verify({
          ...options,
          onProgress,
          onReport: (report) => Effect.sync(() => list.add({ where, report, ageSeconds: report.ageSeconds }))
        }),
        (summary): Compared => ({ where, ...summary })
      )
  )

const right = (title: string) => ({ title, alignsRight: true })

const counted = ["examined", ...SyncTally.repairable, "unfit", "failed"] as const

const columns = [{ title: "IN" }, ...counted.map((name) => right(name.toUpperCase())), right("STANDING")]

/** Counts of each kind, a line for each comparison. */
export const table = (all: ReadonlyArray<Compared>): string =>
  Table.render(
    columns,
    all.map(({ standing, tally, where }) => [
      where,
      ...counted.map((name) => Count.text(tally[name])),
      Count.text(standing)
    ])
  )

export const document = ({ standing, tally, where }: Compared) => ({ where, ...tally, standing })

/** Differences that are there still. */
export const standing = (all: ReadonlyArray<Compared>): number =>
  all.reduce((sum, { standing }) => sum + standing, 0)

/** Differences that a repair puts right: all but originals that do not fit. */
export const repairable = (all: ReadonlyArray<Compared>): number =>
  all.reduce((sum, { tally }) => sum + SyncTally.written(tally), 0)
