import { randomUUID } from "node:crypto"
import { Anonymizer } from "@twinbox/anonymize"
import { MongoDatabase } from "@twinbox/mongodb"
import { TwinRepository, TwinSync } from "@twinbox/repository"
import { Array as Arr, Effect, Schedule } from "effect"
import { BSON, type Collection, type Document } from "mongodb"
import { ada, Customer, keyOf, topic } from "../testCustomer.ts"

type Settings = Partial<Omit<TwinSync.Options<typeof Customer>, "schema">>

/** A collection of the test's own. */
export const newCollection = () => `customers_${randomUUID().slice(0, 8)}`

/** A sync with small batches. */
export const makeSync = (collection: string, settings: Settings = {}) =>
  Effect.flatMap(keyOf(1), (key) =>
    TwinSync.make({
      schema: Customer,
      collection,
      topic,
      key,
      batchSize: 10,
      patience: "20 seconds",
      ...settings
    })
  )

export const makeRepository = (collection: string, keyVersion = 1) =>
  Effect.flatMap(keyOf(keyVersion), (key) =>
    TwinRepository.make({ schema: Customer, collection, topic, key })
  )

/** Whatever a foreign program may put there. Its `_id` can be of any type, whatever this type says. */
export interface Foreign {
  readonly _id: string
  readonly [field: string]: unknown
}

/** A collection as a program sees it that knows nothing of twins. */
export const raw = (name: string) =>
  Effect.map(MongoDatabase.MongoDatabase, ({ db }) => db.collection<Foreign>(name))

export const using = <A>(name: string, use: (found: Collection<Foreign>) => Promise<A>) =>
  Effect.flatMap(raw(name), (found) => Effect.promise(() => use(found)))

/** A customer as a foreign program stores it: no version. */
export const foreign = (id: unknown, more: Document = {}): Foreign => ({ _id: id as string, ...ada, ...more })

export const insertForeign = (name: string, documents: ReadonlyArray<Foreign>) =>
  using(name, (found) => found.insertMany([...documents]))

/** The twin's fields of an original. */
export const twinFields = (fields: Document) =>
  Effect.flatMap(keyOf(1), (key) =>
    Effect.map(
      Anonymizer.make(Customer, key),
      (anonymizer) => anonymizer.anonymize(fields as never) as Document
    )
  )

const textOf = (document: unknown): string => BSON.EJSON.stringify(document, { relaxed: false })

/** Everything in a collection by id, as text that tells types apart. */
export const contents = (
  name: string
): Effect.Effect<Map<string, string>, never, MongoDatabase.MongoDatabase> =>
  using(name, async (found) => {
    const documents = await found.find({}, { promoteValues: false, promoteLongs: false } as never).toArray()
    return new Map(documents.map((document) => [textOf(document._id), textOf(document)]))
  })

/** Everything that a collection's customers have: originals, twins, tombstones and messages. */
export const everything = (name: string) =>
  Effect.all({
    originals: contents(name),
    twins: contents(`${name}_anonymised`),
    tombstones: contents(`${name}_tombstones`),
    messages: contents("outbox")
  })

type Everything = Effect.Effect.Success<ReturnType<typeof everything>>

/** Ids of documents that are not as they were. */
export const changedIds = (
  before: Everything,
  after: Everything,
  part: keyof Everything
): ReadonlyArray<string> =>
  [...new Set([...before[part].keys(), ...after[part].keys()])]
    .filter((id) => before[part].get(id) !== after[part].get(id))
    .map((id) => String(JSON.parse(id)))
    .toSorted()

/** Checks on its own that every original has the twin that it should have. Returns ids of those that do not. */
export const notInStep = (name: string) =>
  Effect.gen(function* () {
    const key = yield* keyOf(1)
    const anonymizer = yield* Anonymizer.make(Customer, key)
    const originals = yield* using(name, (found) => found.find({}).toArray())
    const twins = yield* using(`${name}_anonymised`, (found) => found.find({}).toArray())
    const tombstones = yield* using(`${name}_tombstones`, (found) => found.find({}).toArray())
    const twinOf = new Map(twins.map((twin) => [twin._id, twin]))
    const buried = new Set(tombstones.map(({ _id }) => _id))
    const wrong = originals.filter(({ _id, version, ...fields }) => {
      const expected = {
        _id,
        version: version as unknown,
        ...(anonymizer.anonymize(fields as never) as Document),
        keyVersion: 1,
        fingerprint: anonymizer.fingerprint
      }
      const twin = twinOf.get(_id)
      twinOf.delete(_id)
      return !(
        Number(version) > 0 &&
        !buried.has(_id) &&
        twin !== undefined &&
        BSON.EJSON.stringify(sorted(twin)) === BSON.EJSON.stringify(sorted(expected))
      )
    })
    return [...wrong.map(({ _id }) => String(_id)), ...[...twinOf.keys()].map(String)]
  })

const sorted = (document: Document): Document =>
  Object.fromEntries(Object.entries(document).toSorted(([left], [right]) => (left < right ? -1 : 1)))

/** The messages of ids, by key, in order. */
export const messagesByKey = Effect.map(
  using("outbox", (found) =>
    found
      .find({ key: { $ne: "" } })
      .sort({ key: 1, sequence: 1, ordinal: 1 })
      .toArray()
  ),
  (messages) => new Map(Object.entries(Arr.groupBy(messages, (message) => String(message["key"]))))
)

/** Waits until something holds. */
export const until = <R>(holds: Effect.Effect<boolean, unknown, R>) =>
  Effect.repeat(holds, { until: (yes) => yes, schedule: Schedule.spaced("30 millis") }).pipe(
    Effect.timeout("40 seconds"),
    Effect.orDie
  )

/** Waits until every original has the twin that it should have. */
export const inStep = (name: string) => until(Effect.map(notInStep(name), (wrong) => wrong.length === 0))

export const upTo = (count: number) => Array.from({ length: count }, (_, at) => at)
