import { expect } from "@effect/vitest"
import { MongoDatabase } from "@twinbox/mongodb"
import type { TwinSync } from "@twinbox/repository"
import { Effect, Either, FastCheck, Logger, Random, Schema } from "effect"
import { Binary, Decimal128, type Document, Double, Int32, Long, ObjectId, Timestamp, UUID } from "mongodb"
import { Customer, newId, suite } from "../testRepository.ts"
import {
  contents,
  everything,
  type Foreign,
  insertForeign,
  makeSync,
  newCollection,
  until,
  upTo,
  using
} from "./testSync.ts"

/* Documents as they are in the wild, drawn at random. Whatever is personal in them has a mark that must be found nowhere else. */

const mark = "SECRET"

const secret = FastCheck.nat({ max: 9_999 }).map((n) => `${mark} ${n}`)

/** What stands where the Schema wants something else. */
const wrong: FastCheck.Arbitrary<unknown> = FastCheck.oneof(
  FastCheck.constant(null),
  FastCheck.boolean(),
  FastCheck.constantFrom<unknown>(12, new Double(1.5), Decimal128.fromString("1.10"), new Date(5), NaN),
  FastCheck.constantFrom<unknown>(new ObjectId(), new Binary(Buffer.from(mark)), /SECRET/, Long.MAX_VALUE),
  secret.map((text) => [text]),
  secret.map((text) => ({ text }))
)

/** Mostly right; else something else, or not there at all. */
const mostly = (right: FastCheck.Arbitrary<unknown>) =>
  FastCheck.oneof(
    { weight: 16, arbitrary: right },
    { weight: 1, arbitrary: wrong },
    { weight: 1, arbitrary: FastCheck.constant(undefined) }
  )

const asText = FastCheck.integer({ min: -5, max: 500 }).map(String)

const address = FastCheck.record(
  { line1: mostly(secret), city: mostly(FastCheck.constant("London")), geo: secret },
  { requiredKeys: ["line1", "city"] }
)

const fields = FastCheck.record(
  {
    firstName: mostly(FastCheck.oneof(secret, FastCheck.constantFrom("", "Zoë"))),
    lastName: mostly(FastCheck.oneof(secret, FastCheck.constant(""))),
    email: mostly(FastCheck.nat({ max: 999 }).map((n) => `${mark}.${n}@example.org`)),
    nickname: mostly(secret),
    address: mostly(address),
    note: mostly(FastCheck.constant("kept")),
    visits: mostly(
      FastCheck.oneof({ weight: 9, arbitrary: FastCheck.nat() }, { weight: 1, arbitrary: asText })
    ),
    createdAt: mostly(FastCheck.constant(new Date("2026-01-02T03:04:05.678Z"))),
    ssn: secret,
    history: FastCheck.array(FastCheck.record({ at: FastCheck.nat(), what: secret }), { maxLength: 3 })
  },
  { requiredKeys: ["firstName", "lastName", "email", "address", "visits", "createdAt"] }
) as FastCheck.Arbitrary<Document>

const versions = FastCheck.oneof(
  FastCheck.constant(undefined),
  FastCheck.constantFrom<unknown>(1, 3, new Int32(4), new Double(5), Long.fromNumber(6)),
  FastCheck.constantFrom<unknown>(0, -1, 1.5, NaN, Infinity, 2 ** 53 + 2, 1e300, Long.MAX_VALUE),
  FastCheck.constantFrom<unknown>(
    Number.MAX_SAFE_INTEGER,
    Decimal128.fromString("7"),
    "7",
    null,
    true,
    {},
    new Date(1)
  )
)

/** An id of its own for each number: text, mostly. */
const ids = (prefix: string, at: number) => {
  const text = `${prefix}-${at}`
  return FastCheck.oneof(
    { weight: 12, arbitrary: FastCheck.constant<unknown>(text) },
    {
      weight: 1,
      arbitrary: FastCheck.constantFrom<unknown>(new Double(at + 0.5), at, Decimal128.fromString(`${at}.25`))
    },
    { weight: 1, arbitrary: FastCheck.constantFrom<unknown>(new ObjectId(), new UUID(), new Date(at)) },
    { weight: 1, arbitrary: FastCheck.constantFrom<unknown>({ tenant: prefix, at }, { at: null, text }) },
    { weight: 1, arbitrary: FastCheck.constantFrom<unknown>(`${text}\n`, text.padEnd(600, "x")) },
    {
      weight: 1,
      arbitrary: FastCheck.constantFrom<unknown>(
        new Timestamp({ t: at, i: 1 }),
        new Binary(Buffer.from(text))
      )
    }
  )
}

const documents = (prefix: string, count: number) =>
  FastCheck.tuple(
    ...upTo(count).map((at) =>
      FastCheck.tuple(ids(prefix, at), fields, versions).map(
        ([_id, given, version]) => ({ _id, ...given, version }) as unknown as Foreign
      )
    )
  )

const decode = Schema.decodeUnknownEither(Customer)

/** A document as the driver reads it. */
const read = (name: string) => using(name, (found) => found.find({}).toArray())

const hasId = ({ _id }: Foreign) => typeof _id === "string" && /^[^\n]{1,500}$/.test(_id)

const isFit = (stored: Foreign) =>
  hasId(stored) &&
  stored["version"] !== Number.MAX_SAFE_INTEGER &&
  Either.isRight(decode(Object.fromEntries(Object.entries(stored).filter(([name]) => name !== "_id"))))

const versionBefore = ({ version }: Foreign) =>
  Number.isSafeInteger(version) ? Math.max(0, Number(version)) : 0

/** All that is stored anywhere but in the originals. */
const elsewhere = Effect.gen(function* () {
  const { db } = yield* MongoDatabase.MongoDatabase
  const found = yield* Effect.promise(() => db.listCollections({}, { nameOnly: true }).toArray())
  const names = found.map(({ name }) => name).filter((name) => !/^customers_[0-9a-f]+$/.test(name))
  return yield* Effect.forEach(names, contents)
})

/** Everything but the version, to the types of numbers. */
const withoutVersion = (all: ReadonlyMap<string, string>) =>
  [...all].map(([id, text]) => {
    const { version, ...others } = JSON.parse(text) as Document
    return [id, others]
  })

const reporting = () => {
  const reports: Array<TwinSync.SyncReport> = []
  return { reports, onReport: (report: TwinSync.SyncReport) => Effect.sync(() => void reports.push(report)) }
}

/** Draws another seed each time, and tells it when the check fails. */
const withSeed = <A, E, R>(test: (seed: number) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(Random.nextIntBetween(0, 2 ** 31), (seed) =>
    Effect.tapErrorCause(test(seed), () => Effect.logError(`drawn with the seed ${seed}`))
  )

/** Has documents brought into step by a way, and looks at what became of them. */
const check = <R>(
  bring: (
    collection: string,
    drawn: ReadonlyArray<Foreign>,
    sync: TwinSync.TwinSync,
    parts: ReturnType<typeof reporting>
  ) => Effect.Effect<void, unknown, R>
) =>
  withSeed((seed) =>
    Effect.gen(function* () {
      const collection = newCollection()
      const prefix = newId()
      const [drawn = []] = FastCheck.sample(documents(prefix, 200), { numRuns: 1, seed })
      const gathered = reporting()
      const { reports } = gathered
      const sync = yield* makeSync(collection)
      const lines: Array<string> = []
      const log = Logger.make(({ message }) => void lines.push(String(message)))
      yield* Effect.provide(
        bring(collection, drawn, sync, gathered),
        Logger.replace(Logger.defaultLogger, log)
      )

      const twins = new Map((yield* read(`${collection}_anonymised`)).map((twin) => [String(twin._id), twin]))
      const after = yield* read(collection)
      expect(after.length).toBe(200)
      const fit = after.filter((stored) => twins.has(String(stored._id)))
      const left = reports.filter(({ outcome }) => outcome === "Left")
      expect(fit.length).toBeGreaterThan(20)
      expect(left.length).toBeGreaterThan(20)
      expect(fit.length + left.length).toBe(200)
      for (const { details } of left) {
        expect(details.length).toBeGreaterThan(0)
        for (const detail of details) {
          expect(detail).toMatch(
            /^(_id|version|firstName|lastName|email|nickname|address|note|visits|createdAt)/
          )
        }
      }
      for (const stored of fit) {
        expect(twins.get(stored._id)?.["version"]).toBe(stored["version"])
      }
      const texts = [...(yield* elsewhere).flatMap((all) => [...all.values()]), JSON.stringify(reports)]
      for (const text of [...texts, ...lines]) {
        expect(text).not.toContain(mark)
        // As it is in Binary.
        expect(text).not.toContain(Buffer.from(mark).toString("base64"))
      }

      const before = yield* everything(collection)
      const again = yield* sync.reindex({ fresh: true })
      expect(again.tally).toMatchObject({
        examined: 200,
        unfit: left.length,
        missing: 0,
        stale: 0,
        altered: 0,
        unversioned: 0,
        failed: 0
      })
      expect(yield* everything(collection)).toEqual(before)
    })
  )

suite("Foreign data of all kinds", (it) => {
  it.scoped("gets twins by a reindex where it fits, is told by path where not, and is nowhere unmasked", () =>
    check((collection, drawn, sync, { onReport }) =>
      Effect.gen(function* () {
        yield* insertForeign(collection, drawn)
        const stored = yield* read(collection)
        const before = yield* contents(collection)
        yield* sync.reindex({ onReport })
        const after = yield* contents(collection)
        expect(withoutVersion(after)).toEqual(withoutVersion(before))
        const twins = yield* read(`${collection}_anonymised`)
        const expected = stored.filter(isFit).map((one) => [one._id, versionBefore(one) + 1])
        expect(twins.map(({ _id, version }) => [_id, version]).toSorted()).toEqual(expected.toSorted())
      })
    )
  )

  it.scoped("is treated alike by who follows the collection", () =>
    check((collection, drawn, sync, { onReport, reports }) =>
      Effect.gen(function* () {
        yield* Effect.fork(
          sync.follow({
            flushAfter: "50 millis",
            onFlush: (flush) => Effect.forEach(flush.reports, onReport, { discard: true })
          })
        )
        yield* until(
          using("sync_follow", (found) => found.findOne({ _id: collection })).pipe(
            Effect.map((record) => record?.["position"] !== undefined && record["run"] === undefined)
          )
        )
        yield* insertForeign(collection, drawn)
        yield* until(Effect.sync(() => new Set(reports.map(({ id }) => id)).size === drawn.length))
      }).pipe(Effect.scoped)
    )
  )
})
