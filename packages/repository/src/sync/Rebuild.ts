import { type MongoDatabase, MongoCall, Transaction } from "@twinbox/mongodb"
import { Key, type MirrorBuild, MirrorView, MonotonicClock } from "@twinbox/outbox"
import { Array as Arr, type Context, Effect, Option, Stream } from "effect"
import * as DocumentId from "../DocumentId.ts"
import { type StoredDocument, versionIn } from "../StoredDocument.ts"
import * as IdRange from "./IdRange.ts"
import type { MirrorSource } from "./MirrorSource.ts"
import { type Progress, ProgressMeter } from "./Progress.ts"
import * as RangeLedger from "./RangeLedger.ts"
import * as RebuildPlace from "./RebuildPlace.ts"
import { patiently } from "./Reconciler.ts"
import type { SyncError } from "./SyncError.ts"
import type { SyncSettings } from "./SyncSettings.ts"
import * as Throttle from "./Throttle.ts"

export interface RebuildOptions {
  /** Ranges that are read at once. Default 2. */
  readonly concurrency?: number
  /** Documents that are read, and then records that are swapped in, in a second, at most. Default: no limit. */
  readonly maxPerSecond?: number
  /** Begins anew where another rebuild has not ended. Default false: goes on with that one. */
  readonly fresh?: boolean
  /** Called about once a second, and at the end of each phase. */
  readonly onProgress?: (progress: RebuildProgress) => Effect.Effect<void>
}

/** How far a rebuild is in one of its phases; `differing` counts the records that have changed. */
export interface RebuildProgress extends Progress {
  /** `read`: documents are put aside. `swap`: they take their places. `clear`: what nothing explains is removed. */
  readonly phase: "read" | "swap" | "clear"
}

/** What became of the records of the mirror. */
export interface RebuildSummary {
  /** States that stood aside: documents, and tombstones of deleted ones. */
  readonly staged: number
  /** Records that show something else now. */
  readonly written: number
  /** Records that showed it already. */
  readonly same: number
  /** Records of which messages brought something newer meanwhile. */
  readonly newer: number
  /** Records that show a write which MongoDB has not decided on: they are left to it. */
  readonly pending: number
  /** Records that nothing explained. */
  readonly removed: number
  /** Documents that cannot have been published: for the comparison of originals and twins. */
  readonly unfit: number
  /** Keys of records that hold something else, which is left alone. */
  readonly foreign: number
}

export interface RebuildParts {
  readonly settings: SyncSettings
  readonly database: Context.Tag.Service<MongoDatabase.MongoDatabase>
  readonly stream: string
  readonly source: MirrorSource
  /** Name of the collection of tombstones. */
  readonly tombstones: string
  /** By what documents are made into payloads. */
  readonly rules: string
}

type Counts = { -readonly [name in keyof RebuildSummary]: number }

/** How often a rebuild begins anew by itself when data was lost meanwhile. */
const renewals = 2

const nobodyAsked = () => Effect.void

const progressEvery = "1 second"

/** Builds a mirror anew beside the one that is read, and swaps it in. */
export const run = (
  parts: RebuildParts,
  { mirror, open }: MirrorBuild.MirrorBuild,
  options: RebuildOptions = {}
): Effect.Effect<RebuildSummary, SyncError> => {
  const { database, settings, source, stream } = parts
  const { batchSize, collection, db, patience } = settings
  const { concurrency = 2, fresh = false, onProgress = nobodyAsked } = options
  const { documents, publishedOf } = source
  const tombstones = db.collection<StoredDocument>(parts.tombstones)
  const waiting = patiently(collection, patience)
  const throttle = Throttle.make(options.maxPerSecond)
  const keyOf = (id: string) => Key.make(stream, id)

  const counts: Counts = {
    staged: 0,
    written: 0,
    same: 0,
    newer: 0,
    pending: 0,
    removed: 0,
    unfit: 0,
    foreign: 0
  }
  let phase: RebuildProgress["phase"] = "read"
  let done = 0
  let total = 0
  let meter = new ProgressMeter()
  const enter = (next: RebuildProgress["phase"], of: number) => {
    phase = next
    done = 0
    total = of
    meter = new ProgressMeter()
  }

  const stateOfDocument = (document: StoredDocument): MirrorBuild.State | undefined => {
    const published = publishedOf(document)
    return published && { key: keyOf(published.id), version: published.version, payload: published.payload }
  }

  const stateOfTombstone = (tombstone: StoredDocument): MirrorBuild.State | undefined => {
    const version = versionIn(tombstone)
    return version === 0 || DocumentId.issueOf(stream, tombstone._id) !== undefined
      ? undefined
      : { key: keyOf(tombstone._id), version, payload: null }
  }

  const sources = {
    documents: { found: documents, stateOf: stateOfDocument },
    tombstones: { found: tombstones, stateOf: stateOfTombstone }
  } as const

  const read = (place: RebuildPlace.Place) => {
    const { found, stateOf } = sources[place.of]
    return Effect.map(
      MongoCall.attempt(() => IdRange.read(found, place, batchSize)),
      (page) => ({
        given: page.documents.map((document) => ({ id: document._id, state: stateOf(document) })),
        rest: page.rest
      })
    )
  }

  const divide = (of: RebuildPlace.Place["of"]) =>
    MongoCall.attempt(async () => {
      const { found } = sources[of]
      const count = RangeLedger.rangeCount(await found.estimatedDocumentCount(), batchSize)
      return (await IdRange.split(found, count)).map((range) => RebuildPlace.toText({ of, ...range }))
    })

  const plan = Effect.zipWith(divide("documents"), divide("tombstones"), (left, right) => [...left, ...right])

  /** Puts a page aside, and tells what is left of the part. */
  const stagePage = (build: MirrorBuild.Build, part: MirrorBuild.Part) =>
    Effect.gen(function* () {
      const place = RebuildPlace.of(part.rest)
      const { given, rest } = yield* waiting(read(place))
      const portions = RebuildPlace.portions(given)
      let current = part
      for (const [at, portion] of portions.entries()) {
        const following = portions[at + 1]?.[0]
        const from = following === undefined ? rest : { _id: following.id }
        const next = from === undefined ? undefined : RebuildPlace.toText({ ...place, from })
        const states = portion.flatMap(({ state }) => state ?? [])
        yield* waiting(build.stage(current, states, next))
        counts.staged += states.length
        counts.unfit += portion.length - states.length
        done += portion.length
        yield* throttle.take(portion.length)
        if (next === undefined) return undefined
        current = { ...current, rest: next }
      }
      return current
    })

  const stagePart = (build: MirrorBuild.Build) => (part: MirrorBuild.Part) =>
    Effect.iterate(part as MirrorBuild.Part | undefined, {
      while: (rest) => rest !== undefined,
      body: (rest) => stagePage(build, rest as MirrorBuild.Part)
    })

  /** What the database has of ids at one moment: everything that a relay can have delivered before. */
  const statesOf = (ids: ReadonlyArray<string>) =>
    Transaction.runIn(
      database,
      Transaction.use(async (session) => {
        const within = { _id: { $in: [...ids] } }
        const found = await documents.find(within, { session }).toArray()
        const buried = await tombstones.find(within, { session }).toArray()
        const known = new Map<string, MirrorBuild.State | undefined>()
        for (const tombstone of buried) known.set(tombstone._id, stateOfTombstone(tombstone))
        for (const document of found) known.set(document._id, stateOfDocument(document))
        return known
      })
    )

  /** Makes the mirror show what the database has, whatever the versions. Looks at the mirror first: what comes later stays. */
  const settle = (build: MirrorBuild.Build, keys: ReadonlyArray<Key.Key>) =>
    Effect.gen(function* () {
      if (keys.length === 0) return 0
      const seen = yield* build.look(keys)
      const known = yield* statesOf(keys.map(Key.idOf))
      return yield* build.settle(
        Arr.zipWith(keys, seen, (key, sight): ReadonlyArray<MirrorBuild.Settlement> => {
          const state = known.get(Key.idOf(key))
          // A document that cannot be shown is not gone.
          const isToStay = state === undefined && known.has(Key.idOf(key))
          return sight === undefined || isToStay ? [] : [{ key, seen: sight, state }]
        }).flat()
      )
    })

  const swapAll = (build: MirrorBuild.Build) =>
    Effect.gen(function* () {
      while (true) {
        const swapped = yield* waiting(build.swapNext)
        if (Option.isNone(swapped)) return
        const { foreign, newer, pending, same, written } = swapped.value
        const settled = yield* waiting(settle(build, newer))
        counts.written += written + settled
        counts.same += same
        counts.newer += newer.length - settled
        counts.pending += pending
        counts.foreign += foreign
        const amount = written + same + newer.length + pending + foreign
        done += amount
        yield* throttle.take(amount)
      }
    })

  /** Of these keys, those without a document. */
  const unexplained = (keys: ReadonlyArray<Key.Key>) =>
    Effect.map(source.find(keys.map(Key.idOf)), (found) => {
      const ids = new Set(found.map(({ _id }) => _id))
      return keys.filter((key) => !ids.has(Key.idOf(key)))
    })

  const clear = (build: MirrorBuild.Build) =>
    Stream.runForEach(mirror.keys(stream), (page) =>
      Effect.gen(function* () {
        for (const keys of Arr.chunksOf(page.filter(Key.isKey), MirrorView.maxKeys)) {
          const removed = yield* waiting(Effect.flatMap(unexplained(keys), (extra) => settle(build, extra)))
          counts.removed += removed
          done += keys.length
        }
      })
    )

  /** A read that a majority confirms: later ones see at least all that was delivered before the mirror lost its data. */
  const catchUp = Transaction.runIn(
    database,
    Transaction.use((session) => documents.findOne({}, { session }))
  )

  const estimate = MongoCall.attempt(
    async () => (await documents.estimatedDocumentCount()) + (await tombstones.estimatedDocumentCount())
  )

  const tellProgress = Effect.flatMap(MonotonicClock.millis, (now) => {
    const differing = counts.written + counts.removed
    return onProgress({ ...meter.observe(done, total, differing, now), phase })
  })

  const buildOnce = (isFresh: boolean) =>
    Effect.scoped(
      Effect.gen(function* () {
        for (const name of Object.keys(counts) as Array<keyof Counts>) counts[name] = 0
        enter("read", yield* waiting(estimate))
        const build = yield* waiting(open({ rules: parts.rules, fresh: isFresh, plan }))
        if (build.isResumed) {
          yield* Effect.logInfo(
            `goes on with the rebuild of the mirror '${mirror.name}' that was begun before`
          )
        }
        counts.staged = build.staged
        done = build.staged
        yield* Effect.gen(function* () {
          yield* waiting(catchUp)
          yield* Effect.forEach(build.parts, stagePart(build), { concurrency, discard: true })
          const standing = yield* waiting(build.check)
          yield* tellProgress
          enter("swap", standing)
          yield* swapAll(build)
          yield* tellProgress
          enter("clear", counts.staged)
          yield* waiting(clear(build))
          yield* waiting(build.finish)
          yield* tellProgress
        }).pipe(Effect.tapErrorTag("MirrorFull", () => Effect.ignore(build.abandon)))
        return { ...counts } satisfies RebuildSummary
      })
    )

  const building = buildOnce(fresh).pipe(
    Effect.catchTag("BuildLost", (error) =>
      Effect.zipRight(
        Effect.logWarning(`${error.message}: it begins anew`),
        Effect.retry(buildOnce(true), { times: renewals - 1, while: ({ _tag }) => _tag === "BuildLost" })
      )
    )
  )

  const telling = Effect.forever(Effect.zipRight(tellProgress, Effect.sleep(progressEvery)))
  return Effect.raceFirst(building, telling)
}
