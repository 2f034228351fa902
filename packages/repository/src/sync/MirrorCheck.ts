import { MongoCall } from "@twinbox/mongodb"
import { createHash } from "node:crypto"
import { Key, MirrorView } from "@twinbox/outbox"
import { Array as Arr, Effect, Stream } from "effect"
import type { StoredDocument } from "../StoredDocument.ts"
import type { ComparedPage, Finding } from "./Comparison.ts"
import * as IdRange from "./IdRange.ts"
import type { MirrorSource } from "./MirrorSource.ts"
import type { SyncError } from "./SyncError.ts"
import type { VerifySource } from "./Verify.ts"

/** A key that a mirror shows otherwise than the database. */
export interface MirrorFinding extends Finding {
  readonly id: string
  /** The version that the database had at the first look; 0: there was none. */
  readonly version: number
}

/** What a mirror should show of a document. */
interface Expected extends MirrorView.Shown {
  readonly id: string
  readonly bytes: number
}

const sha1 = (text: string): string => createHash("sha1").update(text).digest("hex")

const lineOf = ({ digest, version }: MirrorView.Shown): string => `${version} ${digest}\n`

/** Of what is shown, a version that leaves no room for a next one says nothing. */
const aboveOf = (shown: MirrorView.Shown | undefined): number =>
  shown === undefined || shown.version >= Number.MAX_SAFE_INTEGER - 1 ? 0 : shown.version

/** How a mirror differs from what it should show, if it does. */
const differenceOf = (
  expected: MirrorView.Shown | undefined,
  shown: MirrorView.Shown | undefined
): Finding["difference"] | undefined => {
  if (expected === undefined) return shown === undefined ? undefined : { _tag: "Extra" }
  if (shown === undefined) return { _tag: "Missing" }
  if (shown.version !== expected.version) return { _tag: "Stale" }
  return shown.digest === expected.digest ? undefined : { _tag: "Altered", fields: [] }
}

export const make = (
  stream: string,
  { collection, documents, find, publishedOf }: MirrorSource,
  mirror: MirrorView.MirrorView
): VerifySource<MirrorFinding> => {
  /** Documents that cannot have been published are left to the comparison of originals and twins. */
  const expectedOf = (document: StoredDocument): ReadonlyArray<Expected> => {
    const published = publishedOf(document)
    if (published === undefined) return []
    const { id, payload, version } = published
    return [{ id, version, digest: sha1(payload), bytes: payload.length }]
  }

  const compare = (
    ids: ReadonlyArray<string>,
    expected: ReadonlyMap<string, Expected>
  ): Effect.Effect<ReadonlyArray<MirrorFinding>, SyncError> =>
    Effect.map(mirror.shown(ids.map((id) => Key.make(stream, id))), (all) =>
      Arr.zipWith(ids, all, (id, shown): ReadonlyArray<MirrorFinding> => {
        const wanted = expected.get(id)
        const difference = differenceOf(wanted, shown)
        return difference === undefined
          ? []
          : [
              {
                id,
                difference,
                bytes: wanted?.bytes ?? 0,
                version: wanted?.version ?? 0,
                above: aboveOf(shown)
              }
            ]
      }).flat()
    )

  const byId = (expected: ReadonlyArray<Expected>) => new Map(expected.map((one) => [one.id, one]))

  /** By one digest for all; only where it differs, one by one. */
  const compareSome = (expected: ReadonlyArray<Expected>) => {
    const ids = expected.map(({ id }) => id)
    return Effect.flatMap(mirror.digest(ids.map((id) => Key.make(stream, id))), (digest) =>
      digest === sha1(expected.map(lineOf).join("")) ? Effect.succeed([]) : compare(ids, byId(expected))
    )
  }

  const inParts = <A, B>(
    all: ReadonlyArray<A>,
    each: (some: ReadonlyArray<A>) => Effect.Effect<ReadonlyArray<B>, SyncError>
  ) => Effect.map(Effect.forEach(Arr.chunksOf(all, MirrorView.maxKeys), each), (parts) => parts.flat())

  const page: VerifySource<MirrorFinding>["page"] = (range, limit) =>
    Effect.gen(function* () {
      const read = yield* MongoCall.attempt(() => IdRange.read(documents, range, limit))
      const expected = read.documents.flatMap(expectedOf)
      const findings = yield* inParts(expected, compareSome)
      return { examined: read.documents.length, findings, rest: read.rest }
    })

  /** What the mirror shows of these ids, beside what it should. */
  const compareIds = (ids: ReadonlyArray<string>) =>
    Effect.flatMap(find(ids), (found) => compare(ids, byId(found.flatMap(expectedOf))))

  /** Keys that the mirror shows though there is no document. */
  const others: Stream.Stream<ComparedPage<MirrorFinding>, SyncError> = mirror.keys(stream).pipe(
    Stream.mapEffect((keys) =>
      Effect.map(
        inParts(keys.filter(Key.isKey).map(Key.idOf), (ids) =>
          Effect.flatMap(find(ids), (found) => {
            const known = new Set(found.map(({ _id }) => _id))
            return compare(
              ids.filter((id) => !known.has(id)),
              new Map()
            )
          })
        ),
        (findings) => ({ examined: 0, findings, rest: undefined })
      )
    )
  )

  return {
    collection,
    page,
    others,
    recheck: (findings) => {
      const before = new Map(findings.map(({ id, version }) => [id, version]))
      return Effect.map(
        inParts([...before.keys()], compareIds),
        // What was written meanwhile is on its way.
        (found) => found.filter(({ id, version }) => before.get(id) === version)
      )
    }
  }
}
