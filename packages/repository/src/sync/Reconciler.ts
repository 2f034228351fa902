import { Transaction } from "@twinbox/mongodb"
import { Backoff, MonotonicClock } from "@twinbox/outbox"
import { Array as Arr, Cause, type Duration, Effect, Either, Exit, Schedule } from "effect"
import * as KeyRegistry from "../KeyRegistry.ts"
import type { WriteError } from "../RepositoryError.ts"
import type { RepositoryParts } from "../RepositoryParts.ts"
import type { Planned, Sync, Write } from "../WritePlan.ts"
import * as Writer from "../Writer.ts"
import type { Comparison, Finding } from "./Comparison.ts"
import type * as Difference from "./Difference.ts"
import { type SyncError, SyncSuperseded } from "./SyncError.ts"
import * as SyncMetrics from "./SyncMetrics.ts"
import * as SyncReport from "./SyncReport.ts"
import * as WriteBulk from "./WriteBulk.ts"

/** Puts right what was found, in transactions that look again: what others have written meanwhile is never undone. */
export interface Reconciler {
  readonly reconcile: (
    findings: ReadonlyArray<Finding>
  ) => Effect.Effect<ReadonlyArray<SyncReport.SyncReport>, SyncError>
  /** Those findings that stand when they are looked at again, as of one moment. */
  readonly recheck: (findings: ReadonlyArray<Finding>) => Effect.Effect<ReadonlyArray<Finding>, SyncError>
  /** Fails when another instance has a newer key: the two would undo each other's twins. */
  readonly checkKey: Effect.Effect<void, SyncError>
}

export interface Options {
  /** Documents of one transaction, at most. */
  readonly batchSize: number
  /** How long a write is tried again while MongoDB is away or the outbox is full. */
  readonly patience: Duration.DurationInput
}

/** Bytes of documents in one transaction, roughly, at most. */
const maxBytes = 8 * 1024 * 1024

/** Server error codes that are about a document: DocumentValidationFailure, KeyTooLong. */
const codesOfDocuments: ReadonlySet<number | undefined> = new Set([121, 17_280])

/** An error that may pass, or is about more than the document. */
type CommonError = Exclude<SyncError, SyncSuperseded>

/** Whether an error is about the one document, which is left as it is then; else what it is. */
const commonError = (error: WriteError): Either.Either<CommonError, string> => {
  switch (error._tag) {
    case "Unavailable":
    case "CommitUnknown":
    case "WriteContention":
    case "OutboxFull":
      return Either.right(error)
    case "Refused":
      // Somebody took the message's place in the outbox without leaving its version anywhere.
      return codesOfDocuments.has(error.code) || error.cause === "DuplicateSequence"
        ? Either.left(error.message)
        : Either.right(error)
    case "InvalidDocument":
    case "NotFound":
    case "VersionConflict":
    case "DuplicateKey":
    case "TransactionTooLarge":
    case "KeyRetired":
      return Either.left(error.message)
  }
}

/** Nothing of it was written, or it can be told by looking again: a sync works from what is stored. */
export const mayPass = (error: SyncError): boolean => error.retryable || error._tag === "CommitUnknown"

const tryAgain = Backoff.between("50 millis", "5 seconds")

/** Tries again while MongoDB is away or the outbox is full. */
export const patiently =
  (collection: string, patience: Duration.DurationInput) =>
  <A, R>(effect: Effect.Effect<A, SyncError, R>): Effect.Effect<A, SyncError, R> =>
    effect.pipe(
      Effect.tapError((error) =>
        mayPass(error)
          ? Effect.logWarning(`the sync of '${collection}' waits: ${error.message}`)
          : Effect.void
      ),
      Effect.retry({ while: mayPass, schedule: Schedule.intersect(tryAgain, Schedule.recurUpTo(patience)) })
    )

/** Divides what is to be written into what one transaction may have. */
const portions = (findings: ReadonlyArray<Finding>, batchSize: number) => {
  const all: Array<Array<Finding>> = []
  let bytes = Number.POSITIVE_INFINITY
  for (const finding of findings) {
    const last = all.at(-1)
    bytes += finding.bytes
    if (last !== undefined && last.length < batchSize && bytes <= maxBytes) last.push(finding)
    else {
      all.push([finding])
      bytes = finding.bytes
    }
  }
  return all
}

/** What became of one write. Left: it is to be tried again, or fails all. */
type Settled = Either.Either<
  SyncReport.SyncReport,
  { readonly finding: Finding; readonly error: CommonError }
>

const settle = (finding: Finding, exit: Exit.Exit<Planned, WriteError>): Settled => {
  if (Exit.isSuccess(exit)) {
    const outcome = exit.value._tag === "Write" ? "Written" : "Overtaken"
    return Either.right(SyncReport.of(finding, outcome))
  }
  return Either.match(Cause.failureOrCause(exit.cause), {
    // A document that trips up the program holds up no others.
    onRight: () => Either.right(SyncReport.of(finding, "Failed", "a defect")),
    onLeft: (error) =>
      error._tag === "InvalidDocument"
        ? Either.right(
            SyncReport.of({ ...finding, difference: { _tag: "Unfit", issues: error.issues } }, "Left")
          )
        : Either.match(commonError(error), {
            onLeft: (text) => Either.right(SyncReport.of(finding, "Failed", text)),
            onRight: (common) => Either.left({ finding, error: common })
          })
  })
}

export const make = (
  parts: Pick<RepositoryParts<never>, "database" | "names" | "definition" | "batch">,
  comparison: Comparison,
  rules: Difference.Rules,
  fieldsOf: Sync["fieldsOf"],
  { batchSize, patience }: Options
): Reconciler => {
  const { batch, database, names } = parts
  const { keyVersion } = rules.anonymizer
  const bulk = WriteBulk.make((writes) =>
    Transaction.runIn(database, batch.execute(writes), writes.length > 1 ? Writer.groupOptions : {})
  )
  const waiting = patiently(names.originals, patience)
  const leftLog = new SyncReport.LeftLog(names.originals)
  const superseded = new SyncSuperseded({ collection: names.originals, reason: "NewerKey" })

  const checkKey = Effect.flatMap(KeyRegistry.newest(database), (newest) =>
    newest > keyVersion ? Effect.fail(superseded) : Effect.void
  )

  /** A twin of a higher key version is that of a newer instance, or somebody made it up. */
  const checkKeyOf = (findings: ReadonlyArray<Finding>) =>
    findings.some(
      ({ difference }) => difference._tag === "Outdated" && (difference.keyVersion ?? 0) > keyVersion
    )
      ? checkKey
      : Effect.void

  const writeOf = ({ above, id }: Finding): Write =>
    Writer.writeOf({ _tag: "Sync", id: String(id), rules, fieldsOf, above })

  /** As many writes as one transaction may have. */
  const writeSome = (findings: ReadonlyArray<Finding>) =>
    Effect.map(bulk(findings.map(writeOf)), (exits) =>
      Arr.zipWith(findings, exits, (finding, exit) => settle(finding, exit))
    )

  const writeAll = (findings: ReadonlyArray<Finding>) =>
    Effect.suspend(() => {
      const reports: Array<SyncReport.SyncReport> = []
      let remaining = findings
      const round = Effect.suspend(() =>
        Effect.flatMap(Effect.forEach(portions(remaining, batchSize), writeSome), (settled) => {
          const [again, done] = Arr.separate(settled.flat())
          reports.push(...done)
          remaining = again.map(({ finding }) => finding)
          return again[0] === undefined ? Effect.void : Effect.fail(again[0].error)
        })
      )
      return Effect.as(waiting(round), reports)
    })

  const recheck: Reconciler["recheck"] = (findings) =>
    findings.length === 0 ? Effect.succeed([]) : waiting(comparison.atOneMoment(findings.map(({ id }) => id)))

  const reconcile: Reconciler["reconcile"] = (findings) =>
    Effect.gen(function* () {
      if (findings.length === 0) return []
      yield* waiting(checkKeyOf(findings))
      const unfit = findings.filter(({ difference }) => difference._tag === "Unfit")
      const others = findings.filter(({ difference }) => difference._tag !== "Unfit")
      const reports = [
        ...unfit.map((finding) => SyncReport.of(finding, "Left")),
        ...(yield* writeAll(others))
      ]
      // Twins of a retired key are refused one by one, and it is not they that are at fault.
      if (reports.some(({ outcome }) => outcome === "Failed")) yield* waiting(checkKey)
      yield* leftLog.warn(reports, yield* MonotonicClock.millis)
      yield* SyncMetrics.count(names.originals, SyncReport.tallyOf(reports))
      return reports
    })

  return { reconcile, recheck, checkKey }
}
