import { MonotonicClock } from "@twinbox/outbox"
import { type Duration, Effect } from "effect"
import type { Comparison } from "./Comparison.ts"
import type * as Difference from "./Difference.ts"
import { type Progress, ProgressMeter } from "./Progress.ts"
import type { RangeLedger, RangeRecord, Run } from "./RangeLedger.ts"
import { patiently, type Reconciler } from "./Reconciler.ts"
import { type SyncError, SyncSuperseded } from "./SyncError.ts"
import * as SyncMembers from "./SyncMembers.ts"
import * as SyncMetrics from "./SyncMetrics.ts"
import * as SyncReport from "./SyncReport.ts"
import * as Tally from "./Tally.ts"
import * as Throttle from "./Throttle.ts"
import type { SyncSettings } from "./SyncSettings.ts"

export interface ReindexOptions {
  /** Ranges that this instance works on at once. Default 2. */
  readonly concurrency?: number
  /** Documents that this instance compares in a second, at most. Default: no limit. */
  readonly maxPerSecond?: number
  /** Begins anew where another reindex has not ended. Default false: goes on with that one. */
  readonly fresh?: boolean
  /** Called about once a second, and at the end. */
  readonly onProgress?: (progress: Progress) => Effect.Effect<void>
  /** Called for every document that was not in step. Those of the last page before a kill can come again. */
  readonly onReport?: (report: SyncReport.SyncReport) => Effect.Effect<void>
}

/** What a reindex has done, with all instances that took part. */
export interface ReindexSummary {
  /** Number of this reindex of the collection. */
  readonly run: number
  readonly tally: Tally.Tally
}

/** What a reindex works with. */
export interface ReindexParts {
  readonly settings: SyncSettings
  readonly comparison: Comparison
  readonly reconciler: Reconciler
  readonly ledger: RangeLedger
  readonly rules: Difference.Rules
}

/** How often it is looked whether others have left something to do, or are done. */
const lookAround: Duration.DurationInput = "250 millis"

const progressEvery: Duration.DurationInput = "1 second"

const nobodyAsked = () => Effect.void

const rulesOf = ({ rules: { anonymizer } }: ReindexParts) => ({
  keyVersion: anonymizer.keyVersion,
  fingerprint: anonymizer.fingerprint
})

/** Whether a reindex was begun under the same key version and privacy rules. */
export const isByRules = (parts: ReindexParts, run: Run): boolean => {
  const { fingerprint, keyVersion } = rulesOf(parts)
  return run.keyVersion === keyVersion && run.fingerprint === fingerprint
}

/** Begins a reindex, or joins the one that is under way. */
export const begin = (parts: ReindexParts, fresh: boolean): Effect.Effect<Run, SyncError> => {
  const { ledger, settings } = parts
  return patiently(
    settings.collection,
    settings.patience
  )(
    Effect.flatMap(ledger.current, (known) =>
      !fresh && known?.state === "open" && isByRules(parts, known)
        ? Effect.succeed(known)
        : ledger.begin(known, rulesOf(parts))
    )
  )
}

/** Works on a reindex, together with others who do, until it or a later one has ended. */
export const work = (
  parts: ReindexParts,
  from: number,
  options: ReindexOptions
): Effect.Effect<ReindexSummary, SyncError> => {
  const { comparison, ledger, reconciler, settings } = parts
  const { batchSize, collection, db, leaseMillis, patience } = settings
  const { concurrency = 2, onProgress = nobodyAsked, onReport = nobodyAsked } = options
  const waiting = patiently(collection, patience)
  const throttle = Throttle.make(options.maxPerSecond)

  /** One page of a range; its new state, or undefined when it is done or somebody else has it. */
  const page = (range: RangeRecord) =>
    Effect.gen(function* () {
      const compared = yield* waiting(comparison.page({ from: range.from, to: range.to }, batchSize))
      const reports = yield* reconciler.reconcile(compared.findings)
      yield* Effect.forEach(reports, onReport, { discard: true })
      const tally = { ...SyncReport.tallyOf(reports), examined: compared.examined }
      const isMine = yield* waiting(ledger.advance(range, compared.rest, tally))
      yield* SyncMetrics.count(collection, { ...Tally.none, examined: compared.examined })
      yield* throttle.take(compared.examined)
      return isMine && compared.rest !== undefined ? { ...range, from: compared.rest } : undefined
    })

  const finishRange = (claimed: RangeRecord) =>
    Effect.iterate(claimed as RangeRecord | undefined, {
      while: (range) => range !== undefined,
      body: (range) => page(range as RangeRecord)
    })

  /** The reindex to work on; undefined: it has ended. */
  const openRun = Effect.flatMap(waiting(ledger.current), (run) => {
    // Somebody has thrown away what was kept of it.
    if (run === undefined || run.run < from) return waiting(ledger.begin(run, rulesOf(parts), from))
    if (run.state === "done") return Effect.succeed(undefined)
    return isByRules(parts, run)
      ? Effect.succeed(run)
      : Effect.fail(new SyncSuperseded({ collection, reason: "OtherRules" }))
  })

  const step = (member: SyncMembers.Member, owner: string) =>
    Effect.gen(function* () {
      const run = yield* openRun
      if (run === undefined) return true
      const gone = yield* waiting(Effect.flatMap(ledger.owners(run.run), member.gone))
      const range = yield* waiting(ledger.claim(run.run, owner, gone))
      if (range !== undefined) yield* finishRange(range)
      else if (!(yield* waiting(ledger.finish(run.run)))) yield* Effect.sleep(lookAround)
      return false
    })

  const meter = new ProgressMeter()
  const tellProgress = Effect.gen(function* () {
    const run = yield* ledger.current
    const tally = yield* ledger.tally(run?.run ?? from)
    const now = yield* MonotonicClock.millis
    yield* onProgress(meter.observe(tally.examined, run?.total ?? 0, Tally.written(tally), now))
  })
  const telling = tellProgress.pipe(
    // The next one tells.
    Effect.ignore,
    Effect.zipRight(Effect.sleep(progressEvery)),
    Effect.forever
  )

  return Effect.scoped(
    Effect.gen(function* () {
      yield* waiting(reconciler.checkKey)
      const member = yield* SyncMembers.join(db, leaseMillis)
      const workers = Effect.forEach(
        SyncMembers.workersOf(member, concurrency),
        (owner) => Effect.repeat(step(member, owner), { until: (hasEnded) => hasEnded }),
        { concurrency: "unbounded", discard: true }
      )
      yield* options.onProgress === undefined ? workers : Effect.raceFirst(workers, telling)
      if (options.onProgress !== undefined) yield* Effect.ignore(tellProgress)
      const ended = yield* waiting(ledger.current)
      const run = ended?.run ?? from
      return { run, tally: yield* waiting(ledger.tally(run)) }
    })
  )
}

/** Compares every original with its twin and puts right what differs. */
export const run = (
  parts: ReindexParts,
  options: ReindexOptions = {}
): Effect.Effect<ReindexSummary, SyncError> =>
  Effect.flatMap(begin(parts, options.fresh ?? false), (begun) => work(parts, begun.run, options))
