import { Effect } from "effect"
import * as KeyRegistry from "../KeyRegistry.ts"
import { KeyInUse, RetireRefused } from "../RepositoryError.ts"
import { patiently } from "../sync/Reconciler.ts"
import * as Reindex from "../sync/Reindex.ts"
import type { SyncError } from "../sync/SyncError.ts"
import type { SyncReport } from "../sync/SyncReport.ts"
import * as KeyFloor from "./KeyFloor.ts"
import * as OlderTwins from "./OlderTwins.ts"

/**
 * What a key is to the twins of a collection:
 * - `active`: the newest; twins are made under it;
 * - `outdated`: twins of it are to be made anew, and an instance that has it still makes more of them;
 * - `closed`: nobody can make twins under it any more, but it is not retired: `retire` was cut short, or twins are left;
 * - `retired`: there is no twin of it, and none can come.
 */
export type KeyState = "active" | "outdated" | "closed" | "retired"

export interface KeyStatus {
  readonly version: number
  readonly state: KeyState
  /** Twins that were made under it. */
  readonly twins: number
}

export interface RotationStatus {
  /** The version of this instance's own key. */
  readonly keyVersion: number
  /** All versions that the database knows, the newest first. */
  readonly keys: ReadonlyArray<KeyStatus>
  /** Twins of a version that the database does not know, or of none. */
  readonly unknown: number
}

export interface RotationSummary extends Reindex.ReindexSummary {
  /** Twins of earlier keys that are left. */
  readonly left: number
  /** Why, for the first 1,000 of them: most of the time because their originals do not fit the Schema. */
  readonly reports: ReadonlyArray<SyncReport>
}

/** Makes all twins of a collection anew under the newest key, and puts earlier keys out of use. */
export interface KeyRotation {
  /** Which keys there are, and how many twins each has: reads all twins once, which needs no index. */
  readonly status: Effect.Effect<RotationStatus, SyncError>
  /**
   * Makes every twin of an earlier key anew under this instance's own, which has to be the newest. A reindex: it can be
   * killed at any time and goes on when called again, and several instances share it. Ends with a look for what
   * instances with an earlier key have written behind it.
   */
  readonly run: (options?: Reindex.ReindexOptions) => Effect.Effect<RotationSummary, SyncError>
  /**
   * Puts a key version and all before it out of use for this collection: from then on MongoDB refuses twins of them.
   * Fails with `KeyInUse`, and changes nothing, while there are such twins; with `RetireRefused` for the newest version
   * and those that the database does not know. Cut short, or called again, it goes on where it was.
   */
  readonly retire: (version: number) => Effect.Effect<void, SyncError | KeyInUse | RetireRefused>
}

/** What a rotation works with. */
export interface RotationParts extends Reindex.ReindexParts {
  readonly twins: string
}

/** Reports of twins that are left, at most. */
const maxReports = 1_000

/** Rounds of those who retire different versions at the same time, at most; then somebody else takes validators away. */
const maxRounds = 20

const isLeft = ({ outcome }: SyncReport): boolean => outcome === "Left" || outcome === "Failed"

const stateOf = (version: number, newest: number, retiredUpTo: number, floor: number): KeyState => {
  if (version === newest) return "active"
  if (version <= retiredUpTo) return "retired"
  return version < floor ? "closed" : "outdated"
}

/** Made by `TwinSync.make`. */
export const make = (parts: RotationParts): KeyRotation => {
  const { comparison, reconciler, rules, settings, twins } = parts
  const { batchSize, collection, db } = settings
  const { keyVersion } = rules.anonymizer
  const waiting = patiently(collection, settings.patience)

  const status = waiting(
    Effect.gen(function* () {
      const versions = yield* KeyRegistry.versions(db)
      const retiredUpTo = yield* KeyRegistry.retiredUpTo(db, twins)
      const floor = yield* KeyFloor.of(db, twins)
      const counts = yield* OlderTwins.byVersion(db, twins, versions)
      const newest = versions[0] ?? 0
      const keys = versions.map((version) => ({
        version,
        state: stateOf(version, newest, retiredUpTo, floor),
        twins: counts.get(version) ?? 0
      }))
      return { keyVersion, keys, unknown: counts.get(0) ?? 0 }
    })
  )

  /** Makes anew what is left of keys before a version, page by page; reports what cannot be. */
  const redo = (version: number) =>
    Effect.gen(function* () {
      const reports: Array<SyncReport> = []
      const page = (after: { readonly _id: unknown } | undefined) =>
        Effect.gen(function* () {
          const ids = yield* waiting(OlderTwins.ids(db, twins, version, after, batchSize))
          const found = yield* reconciler.reconcile(yield* waiting(comparison.ids(ids)))
          reports.push(...found.filter(isLeft).slice(0, maxReports - reports.length))
          return ids.length < batchSize ? undefined : { _id: ids.at(-1) }
        })
      let after = yield* page(undefined)
      while (after !== undefined) after = yield* page(after)
      return reports
    })

  const run: KeyRotation["run"] = (options) =>
    Effect.gen(function* () {
      const summary = yield* Reindex.run(parts, options)
      const reports = yield* redo(keyVersion)
      return { ...summary, left: yield* waiting(OlderTwins.count(db, twins, keyVersion)), reports }
    })

  const refusal = (keyVersion: number, reason: RetireRefused["reason"]) =>
    new RetireRefused({ collection, keyVersion, reason })

  const checkVersion = (version: number) =>
    Effect.gen(function* () {
      const versions = yield* waiting(KeyRegistry.versions(db))
      if (!versions.includes(version)) return yield* refusal(version, "Unknown")
      return version === versions[0] ? yield* refusal(version, "Newest") : undefined
    })

  const checkUnused = (version: number) =>
    Effect.gen(function* () {
      const count = yield* waiting(OlderTwins.count(db, twins, version + 1))
      if (count > 0) yield* new KeyInUse({ collection, keyVersion: version, twins: count })
    })

  /**
   * The floor comes first, then what slipped in before it is made anew, and the key is marked when none is left: whatever
   * step this is cut short at, no key is called retired that a twin is of, and doing it again finishes it. True: it holds.
   */
  const settle = (version: number) =>
    Effect.gen(function* () {
      const upTo = Math.max(version, yield* waiting(KeyRegistry.retiredUpTo(db, twins)))
      yield* raise(upTo + 1)
      yield* redo(upTo + 1)
      yield* checkUnused(upTo)
      yield* waiting(KeyRegistry.retire(db, twins, upTo))
      // Who retires a lower version at the same time can have put its floor in the place of this one.
      const floor = yield* waiting(KeyFloor.of(db, twins))
      return floor > (yield* waiting(KeyRegistry.retiredUpTo(db, twins)))
    })

  /** What a validator of the user's stands in the way of is no matter of patience. */
  const raise = (floor: number) =>
    waiting(Effect.catchTag(KeyFloor.raise(db, twins, floor), "RetireRefused", Effect.succeed)).pipe(
      Effect.flatMap((refused) => (refused instanceof RetireRefused ? refused : Effect.void))
    )

  const retire: KeyRotation["retire"] = (version) =>
    Effect.gen(function* () {
      yield* waiting(reconciler.checkKey)
      yield* checkVersion(version)
      yield* checkUnused(version)
      const holds = yield* Effect.repeat(settle(version), { until: (holds) => holds, times: maxRounds })
      if (!holds) yield* refusal(version, "Validator")
    })

  return { status, run, retire }
}
