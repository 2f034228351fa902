import { Backoff, MonotonicClock } from "@twinbox/outbox"
import { Data, Duration, Effect, Metric, Option, Schedule } from "effect"
import type { MongoClient, Timestamp } from "mongodb"
import type { StoredDocument } from "../StoredDocument.ts"
import * as ChangeFeed from "./ChangeFeed.ts"
import type { FollowLedger, FollowRecord } from "./FollowLedger.ts"
import * as IdText from "./IdText.ts"
import * as OplogWatch from "./OplogWatch.ts"
import { mayPass, patiently } from "./Reconciler.ts"
import * as Reindex from "./Reindex.ts"
import type { SyncError } from "./SyncError.ts"
import * as SyncMembers from "./SyncMembers.ts"
import * as SyncMetrics from "./SyncMetrics.ts"
import type * as SyncReport from "./SyncReport.ts"
import * as Tally from "./Tally.ts"

export interface FollowOptions {
  /** How long a change waits for others, at most, before they are worked on together. Default 1 second. */
  readonly flushAfter?: Duration.DurationInput
  /** Of a reindex that becomes necessary. */
  readonly reindex?: Pick<Reindex.ReindexOptions, "concurrency" | "maxPerSecond" | "onProgress" | "onReport">
  /** Called after changes have been worked on. */
  readonly onFlush?: (flush: Flush) => Effect.Effect<void>
  /** Called about once a second as long as it follows or stands by; not while it waits for MongoDB or the outbox. */
  readonly onPulse?: Effect.Effect<void>
}

/** Changes that were worked on together. */
export interface Flush {
  /** Documents that had changed. Most are the repository's own writes, and in step. */
  readonly changed: number
  /** Those that were not in step. */
  readonly reports: ReadonlyArray<SyncReport.SyncReport>
}

export interface FollowParts extends Reindex.ReindexParts {
  readonly client: MongoClient
  readonly followLedger: FollowLedger
}

/** Another instance has taken it up. */
class NotMine extends Data.TaggedError("NotMine")<object> {}

type TermError = SyncError | NotMine

/** How often those who stand by look whether they are needed. */
const standBy: Duration.DurationInput = "500 millis"

/** A place that moves without changes is kept this often, lest the oplog overtake it. */
const keepMillis = 10_000

/** How often it is measured how much of the oplog is left. */
const measureEvery: Duration.DurationInput = "10 seconds"

const tryAgain = Backoff.between("100 millis", "5 seconds").pipe(Schedule.resetAfter("1 minute"))

const nobodyAsked = () => Effect.void

const isLost = (error: TermError | ChangeFeed.PositionLost): error is ChangeFeed.PositionLost =>
  error._tag === "PositionLost"

const isNotMine = (error: TermError): error is NotMine => error._tag === "NotMine"

const maySucceed = (error: TermError | ChangeFeed.PositionLost): boolean =>
  error._tag !== "NotMine" && error._tag !== "PositionLost" && mayPass(error)

/** Ids that changed, each once. */
class Pending {
  readonly #ids = new Map<string, unknown>()
  sinceMillis = 0

  add(ids: ReadonlyArray<unknown>, nowMillis: number): void {
    if (this.#ids.size === 0) this.sinceMillis = nowMillis
    for (const id of ids) this.#ids.set(IdText.keyOf(id), id)
  }

  get size(): number {
    return this.#ids.size
  }

  take(): ReadonlyArray<unknown> {
    const ids = [...this.#ids.values()]
    this.#ids.clear()
    return ids
  }
}

/** How far one instance has come since it took the collection up. */
interface Term {
  readonly epoch: number
  /** What is kept in the ledger. */
  kept: ChangeFeed.Position
  keptMillis: number
  /** The newest change that was worked on or waits; undefined: there was none. */
  newest: Timestamp | undefined
  /** Whether the last read found nothing more. */
  hasCaughtUp: boolean
  /** A reindex that has to end. */
  readonly run: number | undefined
}

const begin = (epoch: number, position: ChangeFeed.Position, run: number | undefined): Term => ({
  epoch,
  kept: position,
  keptMillis: 0,
  newest: "at" in position ? position.at : undefined,
  hasCaughtUp: false,
  run
})

/**
 * Follows a collection by its change stream until interrupted, and puts right what programs do to it that know nothing
 * of twins. One instance follows and others stand by.
 *
 * It works from what is stored, not from what the changes say: that something changed only tells where to look. The
 * place in the stream is kept after the work that it stands for, so what happens while nobody follows is taken up. Where
 * the place is lost, or nobody has followed yet, the changes from a new place on are followed at once, and beside that
 * everything is compared: nothing goes on from "now" silently, and the oplog cannot overtake a long reindex.
 */
export const run = (parts: FollowParts, options: FollowOptions = {}): Effect.Effect<never, SyncError> => {
  const { client, comparison, followLedger, ledger, reconciler, settings } = parts
  const { batchSize, collection, db, leaseMillis, patience } = settings
  const { onFlush = nobodyAsked, onPulse = Effect.void } = options
  const flushMillis = Duration.toMillis(options.flushAfter ?? "1 second")
  const waiting = patiently(collection, patience)
  const originals = db.collection<StoredDocument>(collection)
  const set = (gauge: Metric.Metric.Gauge<number>, value: number) =>
    Metric.set(Metric.tagged(gauge, "collection", collection), value)

  const save = (term: Pick<Term, "epoch">, state: Pick<FollowRecord, "position" | "run">) =>
    Effect.flatMap(waiting(followLedger.save(term, state)), (isMine) =>
      isMine ? Effect.void : Effect.fail(new NotMine())
    )

  const keep = (term: Term, position: ChangeFeed.Position) =>
    Effect.gen(function* () {
      yield* save(term, { position })
      term.kept = position
      term.keptMillis = yield* MonotonicClock.millis
    })

  const flush = (ids: ReadonlyArray<unknown>) =>
    Effect.gen(function* () {
      const findings = yield* waiting(comparison.ids(ids))
      const reports = yield* reconciler.reconcile(findings)
      yield* SyncMetrics.count(collection, { ...Tally.none, examined: ids.length })
      yield* onFlush({ changed: ids.length, reports })
    })

  /** The next changes; none when those that wait are due before. */
  const nextOf = (feed: ChangeFeed.ChangeFeed, pending: Pending) =>
    Effect.flatMap(MonotonicClock.millis, (now) =>
      pending.size === 0
        ? Effect.asSome(feed.next)
        : Effect.timeoutOption(feed.next, Math.max(0, pending.sinceMillis + flushMillis - now))
    )

  const followFrom = (term: Term) =>
    Effect.scoped(
      Effect.gen(function* () {
        const feed = yield* ChangeFeed.open(originals, term.kept, batchSize)
        const pending = new Pending()
        let reached = term.kept
        while (true) {
          const changes = yield* nextOf(feed, pending)
          const now = yield* MonotonicClock.millis
          if (Option.isSome(changes)) {
            const { at, ids, position } = changes.value
            pending.add(ids, now)
            reached = position
            term.newest = at ?? term.newest
          }
          term.hasCaughtUp = pending.size === 0
          if (pending.size >= batchSize || (pending.size > 0 && now - pending.sinceMillis >= flushMillis)) {
            yield* flush(pending.take())
            yield* keep(term, reached)
          } else if (pending.size === 0 && now - term.keptMillis >= keepMillis) {
            yield* keep(term, reached)
          }
          yield* onPulse
        }
      })
    )

  /** Goes on from the kept place whenever MongoDB comes back. */
  const following = (term: Term): Effect.Effect<never, TermError | ChangeFeed.PositionLost> =>
    Effect.retry(
      Effect.tapError(
        Effect.suspend(() => followFrom(term)),
        (error) =>
          maySucceed(error)
            ? Effect.logWarning(`following '${collection}' was interrupted: ${error.message}; going on`)
            : Effect.void
      ),
      { while: maySucceed, schedule: tryAgain }
    )

  const reindexing = (number: number) =>
    Effect.gen(function* () {
      const { tally } = yield* Effect.retry(Reindex.work(parts, number, options.reindex ?? {}), {
        while: mayPass,
        schedule: tryAgain
      })
      yield* waiting(followLedger.reindexed(number))
      yield* Effect.logInfo(
        `'${collection}' was compared as a whole: ${tally.examined} documents, ${Tally.written(tally)} put right, ${tally.unfit} do not fit the Schema, ${tally.failed} failed`
      )
    })

  const measuring = (term: Term) =>
    OplogWatch.window(client).pipe(
      Effect.flatMap(({ newestSeconds, oldestSeconds }) => {
        const here = term.hasCaughtUp ? newestSeconds : term.newest?.getHighBitsUnsigned()
        return here === undefined
          ? Effect.void
          : Effect.zipRight(
              set(SyncMetrics.lag, Math.max(0, newestSeconds - here)),
              set(SyncMetrics.headRoom, here - oldestSeconds)
            )
      }),
      // Without the right to read the oplog there are no such figures.
      Effect.ignore,
      Effect.zipRight(Effect.sleep(measureEvery)),
      Effect.forever
    )

  const beginAnew = ({ epoch }: Pick<Term, "epoch">, fresh: boolean) =>
    Effect.gen(function* () {
      const { at, run } = yield* Reindex.begin(parts, fresh)
      yield* save({ epoch }, { position: { at }, run })
      return begin(epoch, { at }, run)
    })

  /** Where to go on, by what is kept. */
  const goOn = ({ epoch, position, run }: FollowRecord) =>
    Effect.gen(function* () {
      if (position !== undefined) return begin(epoch, position, run)
      const last = yield* waiting(ledger.current)
      if (last?.state === "done" && Reindex.isByRules(parts, last)) {
        yield* Effect.logInfo(
          `nobody has followed '${collection}' yet: changes are followed from the beginning of the last reindex on`
        )
        return begin(epoch, { at: last.at }, undefined)
      }
      yield* Effect.logInfo(
        `nobody has followed '${collection}' yet: changes are followed from now on, and everything is compared`
      )
      return yield* beginAnew({ epoch }, false)
    })

  const anew = (term: Term, { reason }: ChangeFeed.PositionLost) =>
    Effect.gen(function* () {
      yield* Metric.increment(Metric.tagged(SyncMetrics.lost, "collection", collection))
      yield* Effect.logWarning(
        `the place up to which '${collection}' was followed is lost (${reason}): changes are followed from a new place on, and everything is compared`
      )
      return yield* beginAnew(term, true)
    })

  const work = (term: Term) =>
    Effect.raceFirst(
      following(term),
      Effect.zipRight(
        term.run === undefined ? Effect.void : reindexing(term.run),
        Effect.never as Effect.Effect<never>
      )
    ).pipe(Effect.raceFirst(measuring(term)))

  const lead = (term: Term): Effect.Effect<never, TermError> =>
    Effect.catchIf(work(term), isLost, (lost) => Effect.flatMap(anew(term, lost), lead))

  /** Waits until nobody else follows, and does until somebody else has taken it up. */
  const takePart = (member: SyncMembers.Member) =>
    Effect.gen(function* () {
      const owner = yield* waiting(followLedger.owner)
      const isTaken =
        owner !== null && owner !== member.id && (yield* waiting(member.gone([owner]))).length === 0
      const record = isTaken ? undefined : yield* waiting(followLedger.claim(member.id, owner))
      if (record === undefined) return yield* Effect.zipRight(onPulse, Effect.sleep(standBy))
      yield* set(SyncMetrics.following, 1)
      yield* Effect.logInfo(`this instance follows '${collection}'`)
      return yield* Effect.catchIf(Effect.flatMap(goOn(record), lead), isNotMine, () =>
        Effect.logInfo(`another instance follows '${collection}' now`)
      )
    }).pipe(Effect.ensuring(set(SyncMetrics.following, 0)))

  return Effect.scoped(
    Effect.gen(function* () {
      yield* waiting(reconciler.checkKey)
      const member = yield* waiting(SyncMembers.join(db, leaseMillis))
      return yield* Effect.forever(takePart(member))
    })
  )
}
