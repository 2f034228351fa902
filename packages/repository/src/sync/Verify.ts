import { MongoCall } from "@twinbox/mongodb"
import { MonotonicClock } from "@twinbox/outbox"
import { Duration, Effect, Option, Stream } from "effect"
import type { StoredDocument } from "../StoredDocument.ts"
import type { ComparedPage, Finding } from "./Comparison.ts"
import * as IdRange from "./IdRange.ts"
import { type Progress, ProgressMeter } from "./Progress.ts"
import * as RangeLedger from "./RangeLedger.ts"
import { patiently, type Reconciler } from "./Reconciler.ts"
import type { SyncError } from "./SyncError.ts"
import * as SyncMetrics from "./SyncMetrics.ts"
import * as SyncReport from "./SyncReport.ts"
import type { SyncSettings } from "./SyncSettings.ts"
import * as Tally from "./Tally.ts"
import * as Throttle from "./Throttle.ts"

export interface VerifyOptions {
  /** Ranges that are compared at once. Default 2. */
  readonly concurrency?: number
  /** Documents that are compared in a second, at most. Default: no limit. */
  readonly maxPerSecond?: number
  /**
   * A difference counts when it stands after this time: what others have just written is not called a fault before
   * whoever follows the collection had time for it. Default 3 seconds.
   */
  readonly recheckAfter?: Duration.DurationInput
  /** Puts right what differs. Default false: nothing is written. */
  readonly repair?: boolean
  /** Called about once a second, and at the end. */
  readonly onProgress?: (progress: Progress) => Effect.Effect<void>
  /** Called for every difference that stands. */
  readonly onReport?: (report: VerifyReport) => Effect.Effect<void>
}

export interface VerifyReport extends SyncReport.SyncReport {
  /** Seconds since this comparison first saw the difference. */
  readonly ageSeconds: number
}

export interface VerifySummary {
  /** What was found to differ and stood; with `repair`, what was put right, and what was left or failed. */
  readonly tally: Tally.Tally
  /** Differences that are there still, those that cannot be put right among them. */
  readonly standing: number
}

/** What is compared with what. */
export interface VerifySource<F extends Finding> {
  /** Whose documents are divided into ranges. */
  readonly collection: string
  /** Compares the first documents of a range. */
  readonly page: (range: IdRange.IdRange, limit: number) => Effect.Effect<ComparedPage<F>, SyncError>
  /** What else is compared, beside the documents of the collection. */
  readonly others?: Stream.Stream<ComparedPage<F>, SyncError>
  /** Those findings that stand when they are looked at again. */
  readonly recheck: (findings: ReadonlyArray<F>) => Effect.Effect<ReadonlyArray<Finding>, SyncError>
}

export interface VerifyParts<F extends Finding> {
  readonly settings: SyncSettings
  readonly source: VerifySource<F>
  readonly reconciler: Pick<Reconciler, "reconcile" | "checkKey">
}

/** Differences that were seen at the same time. */
interface Suspects<F extends Finding> {
  readonly findings: ReadonlyArray<F>
  readonly seenMillis: number
}

/** Suspects that wait, at most: a range with more of them waits for the first. */
const maxWaiting = 10_000

const progressEvery: Duration.DurationInput = "1 second"

const nobodyAsked = () => Effect.void

const isStanding = ({ outcome }: SyncReport.SyncReport): boolean =>
  outcome !== "Written" && outcome !== "Overtaken"

const compare = <F extends Finding>(
  { reconciler, settings, source }: VerifyParts<F>,
  options: VerifyOptions
): Effect.Effect<VerifySummary, SyncError> => {
  const { batchSize, collection, db, patience } = settings
  const { concurrency = 2, onProgress = nobodyAsked, onReport = nobodyAsked, repair = false } = options
  const recheckMillis = Duration.toMillis(options.recheckAfter ?? "3 seconds")
  const waiting = patiently(collection, patience)
  const throttle = Throttle.make(options.maxPerSecond)
  let tally = Tally.none
  let standing = 0

  const judge = ({ findings, seenMillis }: Suspects<F>) =>
    Effect.gen(function* () {
      yield* Effect.sleep(Math.max(0, seenMillis + recheckMillis - (yield* MonotonicClock.millis)))
      const found = findings.length === 0 ? [] : yield* waiting(source.recheck(findings))
      const reports = repair
        ? yield* reconciler.reconcile(found)
        : found.map((finding) => SyncReport.of(finding, "Found"))
      const ageSeconds = ((yield* MonotonicClock.millis) - seenMillis) / 1_000
      yield* Effect.forEach(reports, (report) => onReport({ ...report, ageSeconds }), { discard: true })
      tally = Tally.add(tally, SyncReport.tallyOf(reports))
      standing += reports.filter(isStanding).length
    })

  const judgeAll = (pages: Stream.Stream<ComparedPage<F>, SyncError>) =>
    Effect.gen(function* () {
      const suspects: Array<Suspects<F>> = []
      /** Looks again at those that are due; as long as more than the limit wait, also at those that are not yet. */
      const judgeDue = (limit: number) =>
        Effect.gen(function* () {
          for (let first = suspects[0]; first !== undefined; first = suspects[0]) {
            const isDue = first.seenMillis + recheckMillis <= (yield* MonotonicClock.millis)
            const count = suspects.reduce((sum, { findings }) => sum + findings.length, 0)
            if (!isDue && count <= limit) return
            suspects.shift()
            yield* judge(first)
          }
        })
      yield* Stream.runForEach(pages, ({ examined, findings }) =>
        Effect.gen(function* () {
          if (findings.length > 0) suspects.push({ findings, seenMillis: yield* MonotonicClock.millis })
          tally = Tally.add(tally, { examined })
          yield* SyncMetrics.count(collection, { ...Tally.none, examined })
          yield* judgeDue(maxWaiting)
          yield* throttle.take(examined)
        })
      )
      yield* judgeDue(0)
    })

  const pagesOf = (range: IdRange.IdRange) =>
    Stream.paginateEffect(range, (from) =>
      Effect.map(waiting(source.page(from, batchSize)), (page) => [
        page,
        Option.map(Option.fromNullable(page.rest), (rest) => ({ from: rest, to: range.to }))
      ])
    )

  return Effect.gen(function* () {
    if (repair) yield* waiting(reconciler.checkKey)
    const documents = db.collection<StoredDocument>(source.collection)
    const total = yield* waiting(MongoCall.attempt(() => documents.estimatedDocumentCount()))
    const ranges = yield* waiting(
      MongoCall.attempt(() => IdRange.split(documents, RangeLedger.rangeCount(total, batchSize)))
    )
    const meter = new ProgressMeter()
    const tellProgress = Effect.flatMap(MonotonicClock.millis, (now) =>
      onProgress(meter.observe(tally.examined, total, standing, now))
    )
    const telling = Effect.forever(Effect.zipRight(tellProgress, Effect.sleep(progressEvery)))
    const parts = [...ranges.map(pagesOf), ...(source.others === undefined ? [] : [source.others])]
    yield* Effect.raceFirst(Effect.forEach(parts, judgeAll, { concurrency, discard: true }), telling)
    yield* tellProgress
    return { tally, standing }
  })
}

/** Compares everything once and tells what differs. Keeps nothing of its progress. */
export const run = <F extends Finding>(
  parts: VerifyParts<F>,
  options: VerifyOptions = {}
): Effect.Effect<VerifySummary, SyncError> => Effect.suspend(() => compare(parts, options))
