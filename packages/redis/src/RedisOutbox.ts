import { randomUUID } from "node:crypto"
import { type Message, Key, type RemoteWrite } from "@twinbox/outbox"
import { Duration, Effect, Option, Schema } from "effect"
import * as Indexes from "./Indexes.ts"
import { RedisConnection } from "./RedisConnection.ts"
import type { RedisError } from "./RedisError.ts"
import { writeRefusals, WriteRefused, type WriteRefusal } from "./RedisOutboxError.ts"
import * as RedisOutboxKeys from "./RedisOutboxKeys.ts"
import * as RedisOutboxScripts from "./RedisOutboxScripts.ts"
import * as RedisScript from "./RedisScript.ts"
import * as RefusedWrites from "./RefusedWrites.ts"
import { outboxAdviceOn } from "./ServerAdvice.ts"
import * as ShownRecord from "./ShownRecord.ts"
import { unreadable } from "./UnreadableReply.ts"

export type { Indexes } from "./Indexes.ts"
export { WriteRefused, type WriteRefusal } from "./RedisOutboxError.ts"
export type { RefusedWrite, RefusedWrites } from "./RefusedWrites.ts"
export type { Shown } from "./ShownRecord.ts"

export interface Options {
  /** Stream of the keys: `customer` for `customer/42`. */
  readonly stream: string
  /** What stands before the colon of a hash's name. Default the stream and `_v2`, as the mirror of originals has it. */
  readonly prefix?: string
  /** What records can be looked up by. The mirror and the reader need the same. */
  readonly indexes: Indexes.Indexes
  /** The longest document or patch, in bytes of JSON. Default 1 MiB. */
  readonly maxBodyBytes?: number
  /** How many writes may wait for MongoDB. Default 100,000. */
  readonly maxLog?: number
  /** The longest page of a listing. Default 500. */
  readonly maxPage?: number
  /** How long an idempotency key is kept. Default 24 hours. */
  readonly idempotencyFor?: Duration.DurationInput
}

/** A change of one record. */
export interface Write {
  readonly operation: RemoteWrite.Operation
  readonly id: string
  /** What to show: the whole document, encoded as its topic has it, without `_id` and `version`; null for `delete`. */
  readonly document: unknown
  /** For `patch`: the JSON Merge Patch from which `document` was made. */
  readonly patch?: unknown
  /** For `patch`: the record from which `document` was made; `Changed` when it is no longer so. */
  readonly basis?: Pick<ShownRecord.Shown, "version" | "pending">
  /**
   * The version that the writer has seen. It is compared with the one last seen from MongoDB, and again by MongoDB:
   * of two writers with the same one, the later is accepted here and refused there.
   */
  readonly expectedVersion?: number
  /** For the messages that come of it. */
  readonly headers?: Message.Headers
  /** Makes the write happen once: a later one with the same key and digest changes nothing and gets the same answer. */
  readonly idempotency?: { readonly key: string; readonly digest: string }
}

export interface Written {
  readonly id: string
  /** Last seen from MongoDB. */
  readonly version: number
  /** Position of the write in the log: what the record is pending on. */
  readonly pending: string
  /** Whether this is the answer to an earlier write with the same idempotency key; all else is of then. */
  readonly isRepeat: boolean
}

export interface ListOptions {
  /** The last id of the page before. */
  readonly after?: string
  /** At most `maxPage`. */
  readonly limit: number
  readonly where?: { readonly index: string; readonly value: string }
}

/** Takes writes in Redis, shows them at once, and records each for MongoDB in the same step. */
export interface RedisOutbox {
  readonly get: (id: string) => Effect.Effect<Option.Option<ShownRecord.Shown>, RedisError>
  /** By rising ids, in the order of their bytes. */
  readonly list: (options: ListOptions) => Effect.Effect<ReadonlyArray<ShownRecord.Shown>, RedisError>
  /**
   * Accepts a write. After a `RedisError` it may have been accepted all the same: an idempotency key makes it safe to
   * try again.
   */
  readonly write: (write: Write) => Effect.Effect<Written, WriteRefused | RedisError>
  /** Writes that MongoDB refused. */
  readonly refused: RefusedWrites.RefusedWrites
  /** How many writes MongoDB has not decided on. */
  readonly depth: Effect.Effect<number, RedisError>
}

const defaults = {
  maxBodyBytes: 1024 * 1024,
  maxLog: 100_000,
  maxPage: 500,
  idempotencyFor: Duration.hours(24)
}

const Answer = Schema.Union(
  Schema.Tuple(Schema.Literal("Written"), Schema.String, Schema.NumberFromString),
  Schema.Tuple(Schema.Literal("Repeated"), Schema.String, Schema.String, Schema.NumberFromString),
  Schema.Tuple(Schema.String.pipe(Schema.filter((name): name is WriteRefusal => writeRefusals.has(name))))
)
const decodeAnswer = Schema.decodeUnknown(Answer)

const Page = Schema.Array(
  Schema.Tuple(
    Schema.String,
    Schema.NullOr(Schema.String),
    Schema.NullOr(Schema.String),
    Schema.NullOr(Schema.String)
  )
)
const decodePage = Schema.decodeUnknown(Page)

/** What a write stores, as JSON texts. */
const textsOf = ({ document, id, operation, patch }: Write) => {
  if (operation === "delete") return { shown: "", body: "" }
  const shown = JSON.stringify(typeof document === "object" ? { _id: id, ...document } : document)
  return { shown, body: JSON.stringify(operation === "patch" ? patch : document) }
}

const bytesOf = (text: string | undefined): number => (text === undefined ? 0 : Buffer.byteLength(text))

const toWritten = (answer: typeof Answer.Type, id: string): Effect.Effect<Written, WriteRefused> => {
  if (answer[0] === "Written") {
    return Effect.succeed({ id, pending: answer[1], version: answer[2], isRepeat: false })
  }
  if (answer[0] === "Repeated") {
    return Effect.succeed({ id: answer[1], pending: answer[2], version: answer[3], isRepeat: true })
  }
  return new WriteRefused({ reason: answer[0] })
}

const advise = Effect.gen(function* () {
  const redis = yield* RedisConnection
  // Hosted servers may keep both to themselves: then there is no advice.
  const info = yield* Effect.orElseSucceed(redis.command(["INFO"]), () => "")
  const setting = yield* Effect.orElseSucceed(redis.command(["CONFIG", "GET", "appendfsync"]), () => [])
  const appendfsync = Array.isArray(setting) ? setting[1] : undefined
  for (const line of outboxAdviceOn(String(info), String(appendfsync ?? ""))) yield* Effect.logWarning(line)
})

/** Makes the side that takes writes. Says in the log which settings of Redis would lose them. */
export const make = (given: Options): Effect.Effect<RedisOutbox, RedisError, RedisConnection> =>
  Effect.gen(function* () {
    const redis = yield* RedisConnection
    const options = { ...defaults, prefix: RedisOutboxKeys.defaultPrefix(given.stream), ...given }
    const { indexes, maxBodyBytes, maxLog, maxPage, prefix, stream } = options
    const keys = RedisOutboxKeys.make(prefix)
    const idempotencyMillis = String(Math.ceil(Duration.toMillis(options.idempotencyFor)))
    yield* advise

    const run = (
      script: RedisScript.RedisScript,
      names: ReadonlyArray<string>,
      values: ReadonlyArray<string>
    ) => Effect.provideService(RedisScript.run(script, names, values), RedisConnection, redis)
    const readable = <A>(decoded: Effect.Effect<A, unknown>) =>
      Effect.mapError(decoded, () => unreadable(redis.server))

    const get: RedisOutbox["get"] = (id) =>
      Effect.flatMap(redis.command(["HMGET", keys.data(id), "version", "json", "pending"]), (reply) =>
        ShownRecord.fromFields(redis.server, id, reply)
      )

    const list: RedisOutbox["list"] = ({ after, limit, where }) =>
      Effect.gen(function* () {
        if (where !== undefined && !Indexes.canBeFound(where.value)) return []
        const range = where === undefined ? Indexes.idsAfter(after) : Indexes.valuesAfter(where.value, after)
        const reply = yield* run(
          RedisOutboxScripts.page,
          [where === undefined ? keys.ids : keys.index(where.index)],
          [range.min, range.max, String(Math.min(limit, maxPage)), String(range.idAt), keys.data("")]
        )
        const rows = yield* readable(decodePage(reply))
        const shown = yield* Effect.forEach(rows, ([id, ...fields]) =>
          ShownRecord.fromFields(redis.server, id, fields)
        )
        return shown.flatMap(Option.toArray)
      })

    const write: RedisOutbox["write"] = (given) =>
      Effect.gen(function* () {
        const { basis, expectedVersion, headers, id, idempotency, operation } = given
        const key = Key.make(stream, id)
        if (!Key.isKey(key)) return yield* Effect.dieMessage("the id does not make a key")
        const { body, shown } = textsOf(given)
        if (Math.max(bytesOf(shown), bytesOf(body)) > maxBodyBytes) {
          return yield* new WriteRefused({ reason: "TooLarge" })
        }
        const names = [keys.data(id), keys.tombstone(id), keys.ids, keys.log]
        if (idempotency !== undefined) names.push(keys.idempotency(idempotency.key))
        const reply = yield* run(RedisOutboxScripts.accept, names, [
          operation,
          shown,
          body,
          randomUUID(),
          key,
          expectedVersion === undefined ? "" : String(expectedVersion),
          JSON.stringify(headers ?? {}),
          basis === undefined ? "" : "1",
          String(basis?.version ?? ""),
          basis?.pending ?? "",
          String(maxLog),
          idempotency?.digest ?? "",
          idempotencyMillis,
          prefix,
          id,
          ...(operation === "delete" ? [] : Indexes.pairs(indexes, given.document))
        ])
        return yield* toWritten(yield* readable(decodeAnswer(reply)), id)
      })

    return {
      get,
      list,
      write,
      refused: yield* Effect.provideService(
        RefusedWrites.make({ keys, maxLog, maxPage }),
        RedisConnection,
        redis
      ),
      depth: Effect.map(redis.command(["XLEN", keys.log]), Number)
    }
  })
