import {
  ByteConnection,
  type ExportAccess,
  type ExportAudit,
  Exporter,
  type ExportRecord
} from "@twinbox/exporter"
import { RedisConnection } from "@twinbox/redis"
import { redisCommands, RedisServer } from "@twinbox/services"
import { Chunk, Context, Effect, Option, Redacted, Schedule, Stream } from "effect"

/** A Redis of this test's own, for what cannot be done to a shared one. */
export const ownRedis = (...given: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const options = yield* RedisServer.config({ report: () => Effect.void, arguments: given })
    return yield* RedisServer.start({ ...options, uri: Option.none() })
  })

/** Connections to the Redis of a URL, with short time limits. */
export const connections = (url: string) =>
  Effect.gen(function* () {
    const redis = yield* RedisConnection.make({
      url: Redacted.make(url),
      connectWithin: "2 seconds",
      replyWithin: "1 second"
    })
    const bytes = yield* ByteConnection.make({ url: Redacted.make(url), replyWithin: "1 second" })
    return Context.make(RedisConnection.RedisConnection, redis).pipe(
      Context.add(ByteConnection.ByteConnection, bytes)
    )
  })

/** Instances that learn soon what others did; a test that needs other times says so. */
export const quick: Exporter.Options = { pollEvery: "50 millis", heartbeatLimit: "10 seconds" }

/** An exporter with connections of its own, as a process would have it. */
export const exporterAt = (url: string, options: Exporter.Options = {}) =>
  Effect.flatMap(connections(url), (context) =>
    Effect.provide(Exporter.make({ ...quick, ...options }), context)
  )

export type Instance = Effect.Effect.Success<ReturnType<typeof exporterAt>>

export const userOf = (id: string, ...permissions: ReadonlyArray<string>): ExportAccess.User => ({
  id,
  permissions: new Set(permissions)
})

export const ann = userOf("ann", "exports:start:anonymized")
export const bob = userOf("bob", "exports:start:anonymized", "exports:start:original")
export const admin = userOf("root", "admin")

export const ndjson = { view: "anonymized", format: "ndjson" } as const

/** Numbered records, and the text they make. */
export const records = (count: number, from = 0): ReadonlyArray<ExportRecord> =>
  Array.from({ length: count }, (_, at) => ({ n: from + at, name: `Zoë ${from + at} ✓` }))

export const linesOf = (given: ReadonlyArray<ExportRecord>): string =>
  given.map((record) => `${JSON.stringify(record)}\n`).join("")

/** Records without end, a few at a time. */
export const endless: Stream.Stream<ExportRecord> = Stream.repeatEffect(
  Effect.delay(
    Effect.sync(() => ({ at: "some moment" })),
    "5 millis"
  )
)

/** Records, and then nothing more without an end. */
export const stalling = (given: ReadonlyArray<ExportRecord>): Stream.Stream<ExportRecord> =>
  Stream.concat(Stream.fromIterable(given), Stream.never)

/** All bytes of a stream. */
export const bytesOf = <E>(stream: Stream.Stream<Uint8Array, E>) =>
  Effect.map(Stream.runCollect(stream), (pages) => Buffer.concat(Chunk.toReadonlyArray(pages)))

/** What Redis itself says, past the code under test. */
export const ask = (url: string, ...command: ReadonlyArray<string>) =>
  Effect.map(redisCommands(url, [command]), ([reply]) => reply)

/** A hash, as a plain client sees it. */
export const hashAt = (url: string, key: string) =>
  Effect.map(ask(url, "HGETALL", key), (flat) => {
    const fields: Record<string, string> = {}
    if (Array.isArray(flat)) {
      for (let at = 0; at < flat.length; at += 2) fields[String(flat[at])] = String(flat[at + 1])
    }
    return fields
  })

/** Waits, patiently, until something is so. */
export const until = <A, E>(look: Effect.Effect<A, E>, isSo: (found: A) => boolean) =>
  Effect.repeat(Effect.delay(look, "20 millis"), { until: isSo }).pipe(
    Effect.retry(Schedule.spaced("50 millis")),
    Effect.timeout("30 seconds")
  )

/** An audit that keeps what it is given. */
export const auditLog = () => {
  const records: Array<ExportAudit.AuditRecord> = []
  const audit: ExportAudit.Audit = { record: (record) => Effect.sync(() => records.push(record)) }
  return { records, audit }
}

/** What a reader has who keeps the highest version of each id, deletes included: records by id. */
export const replay = (text: string): ReadonlyMap<string, ExportRecord> => {
  const newest = new Map<string, ExportRecord>()
  for (const line of text.split("\n")) {
    if (line === "") continue
    const record = JSON.parse(line) as ExportRecord
    const id = String(record["_id"])
    if (Number(record["version"]) >= Number(newest.get(id)?.["version"] ?? 0)) newest.set(id, record)
  }
  for (const [id, { deleted }] of newest) if (deleted === true) newest.delete(id)
  return newest
}
