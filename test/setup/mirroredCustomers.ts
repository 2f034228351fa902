import { Anonymizer, AnonymizeKey } from "@twinbox/anonymize"
import { redisCommands } from "@twinbox/services"
import { Effect, Redacted } from "effect"
import { MongoClient } from "mongodb"
import { Customer } from "../../examples/reference-app/src/Customer.ts"

interface Stored {
  readonly _id: string
  readonly version: number
  readonly [field: string]: unknown
}

export interface Place {
  readonly mongoUri: string
  /** Default `twinbox`. */
  readonly database?: string
  readonly redisUrl: string
  /** Given: pseudonyms are compared too. */
  readonly secret?: string
}

/** What was found; the differences are empty when all is well. */
export interface Findings {
  readonly originals: number
  readonly twins: number
  readonly mirrored: number
  readonly outbox: number
  readonly dead: number
  readonly differences: ReadonlyArray<string>
}

/** Hashes asked for in one round trip. */
const chunkSize = 2_000

const valueAt = (document: unknown, path: string): unknown =>
  path
    .split(".")
    .reduce<unknown>(
      (value, name) =>
        typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined,
      document
    )

/** A customer in short form has text where another has fields of their own: those are compared one by one. */
const hasFields = (value: unknown): boolean =>
  typeof value === "object" && value !== null && !(value instanceof Date)

const sameInJson = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other)

const anonymizerOf = (secret: string) =>
  Effect.gen(function* () {
    const key = yield* AnonymizeKey.make({ version: 1, secret: Redacted.make(secret) })
    return yield* Anonymizer.compile<typeof Customer>(Customer, key)
  })

/** Checks one twin against its original, field by field, without trusting what made it. */
const twinDifferences = (
  original: Stored,
  twin: Stored | undefined,
  anonymizer:
    { readonly fields: ReadonlyArray<{ readonly path: string }>; readonly matches: Matches } | undefined
): ReadonlyArray<string> => {
  if (twin === undefined) return [`${original._id}: no twin`]
  if (twin.version !== original.version) {
    return [`${original._id}: version ${original.version}, its twin ${twin.version}`]
  }
  return (anonymizer?.fields ?? [])
    .filter(({ path }) => !hasFields(valueAt(original, path)))
    .filter(({ path }) => !anonymizer?.matches(path, valueAt(original, path), valueAt(twin, path)))
    .map(({ path }) => `${original._id}: the twin's ${path} is of another value`)
}

type Matches = (path: string, original: unknown, twin: unknown) => boolean

const mirrorDifferences = (twin: Stored, version: unknown, json: unknown): ReadonlyArray<string> => {
  if (version === null) return [`${twin._id}: not mirrored`]
  if (Number(version) !== twin.version) {
    return [`${twin._id}: version ${twin.version}, its mirror ${String(version)}`]
  }
  const mirrored = JSON.parse(String(json)) as Stored
  const { fingerprint, keyVersion, ...published } = twin
  return Object.entries(published).every(([name, value]) => sameInJson(mirrored[name], value))
    ? []
    : [`${twin._id}: its mirror has other fields`]
}

const readMongo = async ({ database, mongoUri }: Place) => {
  const client = new MongoClient(mongoUri)
  try {
    const db = client.db(database ?? "twinbox")
    const [originals, twins, outbox, dead] = await Promise.all([
      db.collection<Stored>("customers").find().toArray(),
      db.collection<Stored>("customers_anonymised").find().toArray(),
      db.collection("outbox").countDocuments({ key: { $ne: "" } }),
      db.collection("outbox_dead").countDocuments()
    ])
    return { originals, twins, outbox, dead }
  } finally {
    await client.close()
  }
}

/** Reads what Redis has, with clients of its own. */
const readMirror = (redisUrl: string, ids: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const hashes: Array<readonly [version: unknown, json: unknown]> = []
    for (let from = 0; from < ids.length; from += chunkSize) {
      const asked = ids
        .slice(from, from + chunkSize)
        .map((id) => ["HMGET", `customer:${id}`, "version", "json"])
      for (const reply of yield* redisCommands(redisUrl, asked)) {
        hashes.push(reply as unknown as readonly [unknown, unknown])
      }
    }
    const [keys] = yield* redisCommands(redisUrl, [["KEYS", "customer:*"]])
    return { hashes, keys: Array.isArray(keys) ? keys.length : 0 }
  })

/**
 * Reads every customer, twin and mirror from outside, and tells what does not belong together: a twin of
 * another version or another value, a mirror of another version, and twins or mirrors too many or too few.
 */
export const inspectCustomers = (place: Place) =>
  Effect.gen(function* () {
    const { dead, originals, outbox, twins } = yield* Effect.promise(() => readMongo(place))
    const anonymizer = place.secret === undefined ? undefined : yield* anonymizerOf(place.secret)
    const twinsById = new Map(twins.map((twin) => [twin._id, twin]))
    const mirror = yield* readMirror(
      place.redisUrl,
      twins.map(({ _id }) => _id)
    )
    const differences = [
      ...originals.flatMap((original) =>
        twinDifferences(original, twinsById.get(original._id), anonymizer as never)
      ),
      ...twins.flatMap((twin, at) => mirrorDifferences(twin, ...(mirror.hashes[at] ?? [null, null])))
    ]
    return {
      originals: originals.length,
      twins: twins.length,
      mirrored: mirror.keys,
      outbox,
      dead,
      differences
    } satisfies Findings
  })

/** What the findings are when everything has arrived. */
export const allArrived = ({ originals }: Findings): Findings => ({
  originals,
  twins: originals,
  mirrored: originals,
  outbox: 0,
  dead: 0,
  differences: []
})
