import { Command, Options } from "@effect/cli"
import { SummaryText, SyncTally, type TwinSync } from "@twinbox/repository"
import { Effect } from "effect"
import * as Comparison from "../Comparison.ts"
import * as Count from "../Count.ts"
import { DifferenceList, limit } from "../DifferenceList.ts"
import * as LongWork from "../LongWork.ts"
import * as Output from "../Output.ts"
import * as SyncCommand from "../SyncCommand.ts"
import * as SyncSpeed from "../SyncSpeed.ts"

const isLeft = ({ outcome }: TwinSync.SyncReport): boolean => outcome === "Left" || outcome === "Failed"

const reindexed = ({ run, tally }: TwinSync.ReindexSummary, left: DifferenceList): Output.Result => {
  const { examined, failed, overtaken, unfit } = tally
  return {
    document: {
      dryRun: false,
      run,
      examined,
      inStep: SummaryText.inStep(tally),
      written: Object.fromEntries(SyncTally.repairable.map((kind) => [kind, tally[kind]])),
      overtaken,
      unfit,
      failed,
      ...left.document
    },
    text: Output.paragraphs([SummaryText.sentence(tally), SummaryText.kinds(tally).join("\n"), left.text]),
    problem: failed === 0 ? undefined : `MongoDB refused ${Count.of(failed, "write")}`
  }
}

/** What would be done is what a comparison finds. */
const dryRun = ({ sync }: SyncCommand.SyncWorld, list: DifferenceList, options: TwinSync.VerifyOptions) =>
  Effect.map(Comparison.run(Comparison.twins, list, options, sync.verify), (compared): Output.Result => {
    const { tally } = compared
    const removed = `${Count.of(tally.extra, "twin")} without original would be removed`
    const written = `${Count.of(SyncTally.written(tally) - tally.extra, "document")} would be put right`
    return {
      document: { dryRun: true, ...Comparison.document(compared), ...list.document },
      text: Output.paragraphs([
        `${removed}; ${written}; nothing was written`,
        Comparison.table([compared]),
        list.text
      ])
    }
  })

const reindex = ({ sync }: SyncCommand.SyncWorld, list: DifferenceList, options: TwinSync.ReindexOptions) =>
  LongWork.run(
    { doing: "reindexing", afterStop: "what was done stays so; the same command goes on from there" },
    (onProgress) =>
      sync.reindex({
        ...options,
        onProgress,
        onReport: (report) =>
          Effect.sync(() => {
            if (isLeft(report)) list.add({ where: Comparison.twins, report, ageSeconds: undefined })
          })
      })
  ).pipe(Effect.map((summary) => reindexed(summary, list)))

const options = {
  fresh: Options.boolean("fresh").pipe(
    Options.withDescription("Begin anew where another reindex has not ended. Default: go on with that one.")
  ),
  dryRun: Options.boolean("dry-run").pipe(
    Options.withDescription("Compare, say what would be written and removed, and change nothing.")
  ),
  ...SyncSpeed.options,
  limit
}

/** `twinbox reindex` */
export const command = Command.make("reindex", { ...options, ...SyncCommand.options }, (given) =>
  SyncCommand.run(given, (world) => {
    const list = new DifferenceList(given.limit)
    const speed = SyncSpeed.of(given)
    return given.dryRun ? dryRun(world, list, speed) : reindex(world, list, { ...speed, fresh: given.fresh })
  })
).pipe(
  Command.withDescription(
    "Makes the twins of all originals: those that are missing or wrong, and removes those without original. Can be stopped and goes on when called again; several at once share the work."
  )
)
