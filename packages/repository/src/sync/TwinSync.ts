import type { AnonymizerError, FullyAnnotated } from "@twinbox/anonymize"
import { type MongoDatabase, type MongoError, MongoIndexes } from "@twinbox/mongodb"
import type { MirrorBuild, MirrorView, Outbox } from "@twinbox/outbox"
import { Duration, Effect, Either, type Schema } from "effect"
import type { KeyError } from "../RepositoryError.ts"
import * as RepositoryParts from "../RepositoryParts.ts"
import * as KeyRotation from "../rotation/KeyRotation.ts"
import type { StoredDocument } from "../StoredDocument.ts"
import * as Comparison from "./Comparison.ts"
import type * as Difference from "./Difference.ts"
import * as Follow from "./Follow.ts"
import * as FollowLedger from "./FollowLedger.ts"
import * as MirrorCheck from "./MirrorCheck.ts"
import * as MirrorSource from "./MirrorSource.ts"
import * as RangeLedger from "./RangeLedger.ts"
import * as Rebuild from "./Rebuild.ts"
import * as Reconciler from "./Reconciler.ts"
import * as Reindex from "./Reindex.ts"
import type { SyncError } from "./SyncError.ts"
import * as SyncMembers from "./SyncMembers.ts"
import type { SyncSettings } from "./SyncSettings.ts"
import * as Verify from "./Verify.ts"

export type { FollowOptions, Flush } from "./Follow.ts"
export type { Progress } from "./Progress.ts"
export type { RebuildOptions, RebuildProgress, RebuildSummary } from "./Rebuild.ts"
export type { ReindexOptions, ReindexSummary } from "./Reindex.ts"
export type { SyncError } from "./SyncError.ts"
export type { SyncReport } from "./SyncReport.ts"
export type { Kind, Tally } from "./Tally.ts"
export type { VerifyOptions, VerifyReport, VerifySummary } from "./Verify.ts"

export interface Options<S extends Schema.Schema.AnyNoContext> extends RepositoryParts.Options<S> {
  /** Documents of a page, of a flush and of a transaction, at most. Default 1,000. */
  readonly batchSize?: number
  /** How long an instance may be silent before others take over what it was at. Default 10 seconds. */
  readonly lease?: Duration.DurationInput
  /** How long a step is tried again while MongoDB is away or the outbox is full. Default 2 minutes. */
  readonly patience?: Duration.DurationInput
}

/**
 * Makes the twins follow from the originals, whoever wrote those, and keeps them so. Any number of instances, in any of
 * these modes, work at the same time without harm: each write is decided in a transaction that looks at what is stored.
 */
export interface TwinSync {
  /**
   * Compares every original with its twin and puts right what differs; twins without original are removed. It can be
   * killed at any time and goes on when called again; several instances share the work.
   */
  readonly reindex: (options?: Reindex.ReindexOptions) => Effect.Effect<Reindex.ReindexSummary, SyncError>
  /** Puts right what programs that know no twins do to originals, soon after they did, until interrupted. */
  readonly follow: (options?: Follow.FollowOptions) => Effect.Effect<never, SyncError>
  /** Compares every original with its twin and tells what differs; writes nothing unless it is to repair. */
  readonly verify: (options?: Verify.VerifyOptions) => Effect.Effect<Verify.VerifySummary, SyncError>
  /**
   * Compares what a mirror shows with what it should, and tells what differs. To repair is to publish again, under a
   * version above the one that the mirror shows. Compare originals and twins before.
   */
  readonly verifyMirror: (
    mirror: MirrorView.MirrorView,
    options?: Verify.VerifyOptions
  ) => Effect.Effect<Verify.VerifySummary, SyncError>
  /**
   * Builds a mirror anew beside the one that is read, and swaps it in key by key while writes and deliveries go on. What
   * it shows and nothing explains is removed. A mirror that has lost its data is ready again afterwards. It can be killed
   * at any time and goes on when called again. Compare originals and twins before.
   */
  readonly rebuildMirror: (
    build: MirrorBuild.MirrorBuild,
    options?: Rebuild.RebuildOptions
  ) => Effect.Effect<Rebuild.RebuildSummary, SyncError>
  /** Makes the twins anew under a new key, and puts earlier keys out of use. */
  readonly rotation: KeyRotation.KeyRotation
}

const defaults = { batchSize: 1_000, lease: Duration.seconds(10), patience: Duration.minutes(2) }

/**
 * Makes the sync of a repository's collection: it takes the same options. Makes what it needs in the database, and
 * fails with `KeyMismatch` or `KeyRetired` as the repository does.
 */
export const make = <S extends Schema.Schema.AnyNoContext>(
  given: Options<S> & { readonly schema: FullyAnnotated<S> }
): Effect.Effect<
  TwinSync,
  AnonymizerError | KeyError | MongoError.MongoError,
  MongoDatabase.MongoDatabase | Outbox.Outbox
> =>
  Effect.gen(function* () {
    const options = { ...defaults, ...given }
    if (!Number.isSafeInteger(options.batchSize) || options.batchSize < 1) {
      return yield* Effect.dieMessage("a sync needs a batchSize of 1 at least")
    }
    const parts = yield* RepositoryParts.make<S>(options)
    const { codec, database, definition, names } = parts
    const { stream } = definition
    const { client, db } = database
    const { collection } = options
    yield* MongoIndexes.ensureCollections([
      SyncMembers.collectionName,
      FollowLedger.collectionName,
      ...Object.values(RangeLedger.collections)
    ])
    const rules: Difference.Rules = {
      stream,
      anonymizer: definition.anonymizer,
      check: codec.decode
    }
    const fieldsOf = (original: StoredDocument) =>
      Either.flatMap(codec.decode(original), ({ _id, version, ...value }) =>
        codec.encode(value as unknown as Schema.Schema.Type<S>, _id)
      )
    const settings: SyncSettings = {
      db,
      collection,
      batchSize: options.batchSize,
      leaseMillis: Duration.toMillis(options.lease),
      patience: options.patience
    }
    const checked = Comparison.make(parts, rules)
    // What is compared to be put right goes into transactions, which check.
    const comparison = Comparison.make(parts, { ...rules, checksLater: true })
    const reconciler = Reconciler.make(parts, checked, rules, fieldsOf, settings)
    const ledger = RangeLedger.make(database, collection, settings.batchSize)
    const followLedger = FollowLedger.make(db, collection)
    const shared = { settings, comparison, reconciler, ledger, rules }
    const sourceOf = (view: MirrorView.MirrorView["view"]) =>
      MirrorSource.make(db, names, stream, fieldsOf, view)
    return {
      reindex: (reindexOptions) => Reindex.run(shared, reindexOptions),
      follow: (followOptions) => Follow.run({ ...shared, client, followLedger }, followOptions),
      verify: (verifyOptions) =>
        Verify.run(
          { settings, reconciler, source: { ...checked, collection, recheck: reconciler.recheck } },
          verifyOptions
        ),
      verifyMirror: (mirror, verifyOptions) =>
        Verify.run(
          { settings, reconciler, source: MirrorCheck.make(stream, sourceOf(mirror.view), mirror) },
          verifyOptions
        ),
      rebuildMirror: (build, rebuildOptions) =>
        Rebuild.run(
          {
            settings,
            database,
            stream,
            source: sourceOf(build.mirror.view),
            tombstones: names.tombstones,
            rules: JSON.stringify([collection, definition.anonymizer.fingerprint])
          },
          build,
          rebuildOptions
        ),
      rotation: KeyRotation.make({ ...shared, twins: names.twins })
    }
  })
