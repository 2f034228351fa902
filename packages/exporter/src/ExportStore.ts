import { RedisConnection, RedisError, RedisScript } from "@twinbox/redis"
import { Effect, type Option, Schema } from "effect"
import { ByteConnection } from "./ByteConnection.ts"
import type { FailureReason } from "./ExportError.ts"
import * as ExportKeys from "./ExportKeys.ts"
import * as ExportScripts from "./ExportScripts.ts"
import type { EndState } from "./ExportState.ts"
import * as ExportStatus from "./ExportStatus.ts"

/** The writer of an export: nobody else appends to it. */
export interface Writer {
  readonly id: string
  /** Known to the process that started the export, and to Redis. */
  readonly token: string
}

export interface Creation {
  readonly writer: Writer
  readonly owner: string
  /** Of a live export. */
  readonly topic: string | undefined
  readonly maxRunningPerOwner: number
  readonly maxRunning: number
  /** More fields of the metadata. */
  readonly metadata: Readonly<Record<string, string>>
}

/** What came of a call about one export. */
export type Answer =
  | { readonly _tag: "Done" | "Running" | "Finishing" | "NotLive" }
  /** There is no such export, or somebody else writes it. */
  | { readonly _tag: "Gone" }
  /** It is not as long as what was confirmed. */
  | { readonly _tag: "Lost" }
  | { readonly _tag: "Ended"; readonly state: EndState }

export type CreationAnswer = "Created" | "Exists" | "TooManyOfOwner" | "TooMany"

export interface End {
  readonly state: EndState
  readonly failure?: FailureReason
  /** SHA-256 of the data in hex. */
  readonly checksum?: string | undefined
}

/** A live record on its way into an export. */
export interface LiveRecord {
  readonly id: string
  readonly version: number
  /** JSON text; null: deleted. */
  readonly json: string | null
}

export interface Times {
  /** How long an export that has ended is kept. */
  readonly expiryMillis: number
  /** After how long a silence an export counts as dead. */
  readonly heartbeatLimitMillis: number
  /** How long the keys of a running export live after its last heartbeat. */
  readonly runningExpiryMillis: number
}

type Failing<A> = Effect.Effect<A, RedisError.RedisError>

/** Exports in Redis. Whatever changes one is one Lua call. */
export interface ExportStore {
  readonly create: (creation: Creation) => Failing<CreationAnswer>
  readonly begin: (writer: Writer) => Failing<Answer>
  /** May be repeated until its answer arrives. */
  readonly append: (writer: Writer, offset: number, bytes: Buffer, records: number) => Failing<Answer>
  /** `renews`: also says that the process lives. */
  readonly beat: (writer: Writer, renews: boolean) => Failing<Answer>
  /** Ends an export; without a token, whoever writes it. */
  readonly finish: (id: string, token: string | undefined, end: End) => Failing<Answer>
  readonly requestFinish: (id: string) => Failing<Answer>
  readonly status: (id: string) => Failing<Option.Option<ExportStatus.ExportStatus>>
  /** Of one owner, or of all. */
  readonly list: (
    owner: string | undefined,
    limit: number
  ) => Failing<ReadonlyArray<ExportStatus.ExportStatus>>
  /** Marks exports whose heartbeat has ended; their ids. */
  readonly sweep: Failing<ReadonlyArray<string>>
  /** Bytes of one segment, `to` included; fewer when it has no more. */
  readonly read: (id: string, segment: number, from: number, to: number) => Failing<Buffer>
  readonly subscribers: (topic: string) => Failing<ReadonlyArray<string>>
  /** Hands records to exports of a topic; the ids of those that this has ended. */
  readonly offer: (
    topic: string,
    ids: ReadonlyArray<string>,
    records: ReadonlyArray<LiveRecord>,
    maxWaiting: number
  ) => Failing<ReadonlyArray<string>>
  /** Live records after a position ('': from the first); those up to it are forgotten. */
  readonly takeLive: (id: string, after: string, count: number) => Failing<ReadonlyArray<Taken>>
  readonly unsubscribe: (id: string, topic: string) => Failing<void>
}

/** A live record with its place in the list. */
export interface Taken extends LiveRecord {
  readonly position: string
}

/** A list of words, of the connection for text or that for bytes. */
const wordsOf = (reply: unknown): ReadonlyArray<string> => (Array.isArray(reply) ? reply.map(String) : [])

const answerOf = (reply: unknown): Answer => {
  const [tag, state] = wordsOf(reply)
  if (tag === "Ended") return { _tag: "Ended", state: state as EndState }
  return { _tag: tag as "Done" }
}

/** How many exports one call of the script marks. */
const sweepCount = 100

const decodeSwept = Schema.decodeUnknown(Schema.Tuple(Schema.Number, Schema.Array(Schema.String)))

const Entry = Schema.Tuple(
  Schema.String,
  Schema.Tuple(
    Schema.Literal("id"),
    Schema.String,
    Schema.Literal("version"),
    Schema.NumberFromString,
    Schema.Literal("json"),
    Schema.String
  )
)
const decodeEntries = Schema.decodeUnknown(Schema.Array(Entry))

/** The position right after one, as XTRIM wants it. */
const following = (position: string): string => {
  const [time, count] = position.split("-")
  return `${time}-${Number(count) + 1}`
}

export const make = (
  times: Times
): Effect.Effect<ExportStore, never, RedisConnection.RedisConnection | ByteConnection> =>
  Effect.gen(function* () {
    const redis = yield* RedisConnection.RedisConnection
    const bytes = yield* ByteConnection
    const expiry = String(times.expiryMillis)
    const limit = String(times.heartbeatLimitMillis)
    const runningExpiry = String(times.runningExpiryMillis)

    const run = (script: RedisScript.RedisScript, key: string, values: ReadonlyArray<string>) =>
      Effect.provideService(RedisScript.run(script, [key], values), RedisConnection.RedisConnection, redis)
    const readable = <A>(decoded: Effect.Effect<A, unknown>) =>
      Effect.mapError(
        decoded,
        () =>
          new RedisError.RedisError({
            reason: "Refused",
            server: redis.server,
            detail: "what is stored cannot be read"
          })
      )
    const asking = (script: RedisScript.RedisScript, key: string, values: ReadonlyArray<string>) =>
      Effect.map(run(script, key, values), answerOf)

    const sweepSome = Effect.flatMap(
      run(ExportScripts.sweep, ExportKeys.running, [String(sweepCount)]),
      (reply) => readable(decodeSwept(reply))
    )

    const offer: ExportStore["offer"] = (topic, ids, records, maxWaiting) =>
      Effect.gen(function* () {
        const values = records.flatMap(({ id, json, version }) => [id, String(version), json ?? ""])
        const calls = ids.map((id) =>
          RedisScript.call(ExportScripts.offer, [id], [topic, String(maxWaiting), ...values])
        )
        const replies = yield* Effect.provideService(
          RedisScript.callAll([ExportScripts.offer], calls),
          RedisConnection.RedisConnection,
          redis
        )
        const answers = yield* Effect.all(replies)
        return ids.filter((_, at) => wordsOf(answers[at])[0] === "Failed")
      })

    return {
      create: ({ maxRunning, maxRunningPerOwner, metadata, owner, topic, writer }) =>
        Effect.map(
          run(ExportScripts.create, writer.id, [
            owner,
            topic ?? "",
            String(maxRunningPerOwner),
            String(maxRunning),
            limit,
            runningExpiry,
            "token",
            writer.token,
            "expiry",
            expiry,
            ...Object.entries(metadata).flat()
          ]),
          (reply) => wordsOf(reply)[0] as CreationAnswer
        ),
      begin: ({ id, token }) => asking(ExportScripts.begin, id, [token]),
      append: ({ id, token }, offset, data, records) =>
        Effect.map(
          bytes.run(
            ExportScripts.append,
            [id],
            [token, String(offset), String(records), runningExpiry, data]
          ),
          answerOf
        ),
      beat: ({ id, token }, renews) =>
        asking(ExportScripts.beat, id, [token, renews ? "1" : "0", limit, runningExpiry]),
      finish: (id, token, { checksum, failure, state }) =>
        asking(ExportScripts.finish, id, [token ?? "", state, failure ?? "", checksum ?? ""]),
      requestFinish: (id) => asking(ExportScripts.requestFinish, id, []),
      status: (id) =>
        Effect.map(run(ExportScripts.status, id, []), (reply) => ExportStatus.fromReply(id, reply)),
      list: (owner, count) =>
        Effect.flatMap(
          run(ExportScripts.list, owner === undefined ? ExportKeys.all : ExportKeys.ofOwner(owner), [
            String(count)
          ]),
          (reply) => readable(ExportStatus.fromList(reply))
        ),
      sweep: Effect.gen(function* () {
        const marked: Array<string> = []
        while (true) {
          const [seen, ids] = yield* sweepSome
          marked.push(...ids)
          if (seen < sweepCount) return marked
        }
      }),
      read: (id, segment, from, to) =>
        Effect.map(
          bytes.command(["GETRANGE", ExportKeys.segment(id, segment), String(from), String(to)]),
          (reply) => (Buffer.isBuffer(reply) ? reply : Buffer.alloc(0))
        ),
      subscribers: (topic) =>
        Effect.map(redis.command(["ZRANGE", ExportKeys.subscribers(topic), "0", "-1"]), wordsOf),
      offer,
      takeLive: (id, after, count) =>
        Effect.gen(function* () {
          const key = ExportKeys.waiting(id)
          const trim = after === "" ? [] : [["XTRIM", key, "MINID", following(after)]]
          const from = after === "" ? "-" : `(${after}`
          const replies = yield* redis.pipeline([...trim, ["XRANGE", key, from, "+", "COUNT", String(count)]])
          const answers = yield* Effect.all(replies)
          const entries = yield* readable(decodeEntries(answers.at(-1)))
          return entries.map(([position, [, recordId, , version, , json]]) => ({
            position,
            id: recordId,
            version,
            json: json === "" ? null : json
          }))
        }),
      unsubscribe: (id, topic) => Effect.asVoid(redis.command(["ZREM", ExportKeys.subscribers(topic), id]))
    }
  })
