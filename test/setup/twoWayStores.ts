import { isDeepStrictEqual } from "node:util"
import { redisCommands } from "@twinbox/services"
import { Effect } from "effect"
import { MongoClient } from "mongodb"

interface Stored {
  readonly _id: string
  readonly version: number
  readonly [field: string]: unknown
}

export interface Stores {
  readonly mongoUri: string
  /** Default `twinbox`. */
  readonly database?: string
  readonly redisUrl: string
}

/** What was found; the differences are empty when both stores hold the same and nothing is under way. */
export interface Comparison {
  readonly documents: number
  readonly tombstones: number
  /** All versions of all customers, those of the deleted ones too: each write made one. */
  readonly versions: number
  readonly refused: number
  readonly differences: ReadonlyArray<string>
}

const prefix = "customer_v2"

/** Keys asked for in one round trip. */
const chunkSize = 2_000

const readMongo = async ({ database = "twinbox", mongoUri }: Stores) => {
  const client = new MongoClient(mongoUri)
  try {
    const db = client.db(database)
    const [documents, twins, tombstones, outbox, dead] = await Promise.all([
      db.collection<Stored>("customers").find().toArray(),
      db.collection<Stored>("customers_anonymised").find().toArray(),
      db.collection<Stored>("customers_tombstones").find().toArray(),
      db.collection("outbox").countDocuments({ key: { $ne: "" } }),
      db.collection("outbox_dead").countDocuments()
    ])
    return { documents, twins, tombstones, outbox, dead }
  } finally {
    await client.close()
  }
}

const texts = (reply: unknown): ReadonlyArray<string> => (Array.isArray(reply) ? reply.map(String) : [])

const one = (url: string, ...command: ReadonlyArray<string>) =>
  Effect.map(redisCommands(url, [command]), ([reply]) => reply)

const inChunks = (url: string, commands: ReadonlyArray<ReadonlyArray<string>>) =>
  Effect.gen(function* () {
    const replies: Array<unknown> = []
    for (let from = 0; from < commands.length; from += chunkSize) {
      replies.push(...(yield* redisCommands(url, commands.slice(from, from + chunkSize))))
    }
    return replies
  })

const fieldsOf = (reply: unknown): Readonly<Record<string, string>> => {
  const flat = texts(reply)
  return Object.fromEntries(flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] ?? ""]] : [])))
}

const readRedis = (url: string) =>
  Effect.gen(function* () {
    const after = (start: string, keys: unknown) => texts(keys).map((key) => key.slice(start.length))
    const ids = after(`${prefix}:`, yield* one(url, "KEYS", `${prefix}:*`))
    const buried = after(`tombstone:{${prefix}:`, yield* one(url, "KEYS", `tombstone:{${prefix}:*`)).map(
      (rest) => rest.slice(0, -1)
    )
    const hashes = yield* inChunks(
      url,
      ids.map((id) => ["HGETALL", `${prefix}:${id}`])
    )
    const graves = yield* inChunks(
      url,
      buried.map((id) => ["GET", `tombstone:{${prefix}:${id}}`])
    )
    return {
      records: new Map(ids.map((id, at) => [id, fieldsOf(hashes[at])])),
      tombstones: new Map(buried.map((id, at) => [id, Number(graves[at])])),
      listed: texts(yield* one(url, "ZRANGE", `ids:{${prefix}}`, "0", "-1")),
      waiting: Number(yield* one(url, "XLEN", `writes:{${prefix}}`)),
      refused: Number(yield* one(url, "XLEN", `refused:{${prefix}}`))
    }
  })

/** A hash has these fields and indexed values, and nothing that tells of a write under way. */
const isAtRest = (record: Readonly<Record<string, string>>): boolean =>
  Object.keys(record).every((name) => name === "version" || name === "json" || name.startsWith("index:"))

const recordDifferences = (
  document: Stored,
  record: Readonly<Record<string, string>> | undefined
): ReadonlyArray<string> => {
  const { _id, version } = document
  if (record === undefined) return [`${_id}: not in Redis`]
  if (Number(record["version"]) !== version) {
    return [`${_id}: version ${version}, in Redis ${record["version"]}`]
  }
  const shown: unknown = JSON.parse(record["json"] ?? "null")
  const stored: unknown = JSON.parse(JSON.stringify(document))
  return [
    ...(isDeepStrictEqual(shown, stored) ? [] : [`${_id}: Redis shows something else`]),
    ...(isAtRest(record) ? [] : [`${_id}: has ${Object.keys(record).join(", ")}`])
  ]
}

const mapsDiffer = (what: string, one: ReadonlyMap<string, number>, other: ReadonlyMap<string, number>) =>
  [...new Set([...one.keys(), ...other.keys()])]
    .filter((id) => one.get(id) !== other.get(id))
    .map((id) => `${id}: ${what} ${one.get(id)} in MongoDB, ${other.get(id)} in Redis`)

const versionsOf = (stored: ReadonlyArray<Stored>) =>
  new Map(stored.map(({ _id, version }) => [_id, version]))

/**
 * Reads every customer of both stores from outside, and tells where they differ: documents, versions, tombstones, the
 * listing, twins, and whatever is still under way.
 */
export const compareStores = (stores: Stores) =>
  Effect.gen(function* () {
    const mongo = yield* Effect.promise(() => readMongo(stores))
    const redis = yield* readRedis(stores.redisUrl)
    const ids = new Set(mongo.documents.map(({ _id }) => _id))
    const twins = versionsOf(mongo.twins)
    const left = { "messages in the outbox": mongo.outbox, "dead letters": mongo.dead, writes: redis.waiting }
    const differences = [
      ...Object.entries(left).flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what} are left`])),
      ...mongo.documents.flatMap((document) => recordDifferences(document, redis.records.get(document._id))),
      ...[...redis.records.keys()].filter((id) => !ids.has(id)).map((id) => `${id}: in Redis only`),
      ...mapsDiffer("tombstone", versionsOf(mongo.tombstones), redis.tombstones),
      ...(isDeepStrictEqual(redis.listed, [...ids].toSorted()) ? [] : ["the listing has other ids"]),
      ...mongo.documents
        .filter(({ _id, version }) => twins.get(_id) !== version)
        .map(({ _id, version }) => `${_id}: version ${version}, its twin ${twins.get(_id)}`),
      ...(twins.size === ids.size ? [] : [`${ids.size} originals, ${twins.size} twins`])
    ]
    return {
      documents: ids.size,
      tombstones: mongo.tombstones.length,
      versions: [...mongo.documents, ...mongo.tombstones].reduce((sum, { version }) => sum + version, 0),
      refused: redis.refused,
      differences
    } satisfies Comparison
  })
