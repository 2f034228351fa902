import { randomUUID } from "node:crypto"
import type { RemoteWrite } from "@twinbox/outbox"
import { Effect, Schema } from "effect"
import { RedisConnection } from "./RedisConnection.ts"
import type { RedisError } from "./RedisError.ts"
import { WriteRefused } from "./RedisOutboxError.ts"
import type { RedisOutboxKeys } from "./RedisOutboxKeys.ts"
import * as RedisScript from "./RedisScript.ts"
import * as RefusedWritesScripts from "./RefusedWritesScripts.ts"
import { unreadable } from "./UnreadableReply.ts"

/** A write that MongoDB refused, without its body. */
export interface RefusedWrite {
  /** Its place in this list; rising with the time of the refusal. */
  readonly position: string
  /** The place it had in the log: what its record was pending on. */
  readonly write: string
  /** None when the write could not be read. */
  readonly key: string | undefined
  readonly operation: RemoteWrite.Operation | undefined
  readonly reason: RemoteWrite.Refusal
  /** How many readers have taken it up. */
  readonly attempts: number
  /** By the clock of Redis, in milliseconds since the epoch. */
  readonly refusedAt: number
}

/** The writes that MongoDB refused, until a person requeues or discards them, or newer ones push them out. */
export interface RefusedWrites {
  /** Newest first. `before`: the last position of the page before; `limit`: at most `maxPage`. */
  readonly list: (options: {
    readonly before?: string
    readonly limit: number
  }) => Effect.Effect<ReadonlyArray<RefusedWrite>, RedisError>
  /**
   * Appends a write to the log anew, to be applied to whatever version there is by then, and tells its position
   * there. Shows nothing meanwhile. Fails with `NotFound` or `Full`.
   */
  readonly requeue: (position: string) => Effect.Effect<string, WriteRefused | RedisError>
  /** Forgets a write. Fails with `NotFound`. */
  readonly discard: (position: string) => Effect.Effect<void, WriteRefused | RedisError>
}

const Rows = Schema.Array(
  Schema.Tuple(
    Schema.String,
    Schema.Literal("Exists", "NotFound", "VersionConflict", "Invalid", "TooLarge", "Failed"),
    Schema.NumberFromString,
    Schema.String,
    Schema.NullOr(Schema.String),
    Schema.NullOr(Schema.String)
  )
)
const decodeRows = Schema.decodeUnknown(Rows)

const Requeued = Schema.Union(
  Schema.Tuple(Schema.Literal("Written"), Schema.String),
  Schema.Tuple(Schema.Literal("NotFound", "Full"))
)
const decodeRequeued = Schema.decodeUnknown(Requeued)

const isOperation = Schema.is(Schema.Literal("create", "replace", "patch", "delete"))

const toRefusedWrite = ([
  position,
  reason,
  attempts,
  write,
  key,
  operation
]: (typeof Rows.Type)[number]): RefusedWrite => ({
  position,
  write,
  key: key ?? undefined,
  operation: isOperation(operation) ? operation : undefined,
  reason,
  attempts,
  refusedAt: Number(position.split("-")[0])
})

/** Redis takes other texts for positions, too: a lone number, `-` or `+`. */
const isPosition = (text: string): boolean => /^\d{1,20}-\d{1,20}$/.test(text)

export interface Options {
  readonly keys: RedisOutboxKeys
  readonly maxLog: number
  readonly maxPage: number
}

const notFound = new WriteRefused({ reason: "NotFound" })

export const make = ({
  keys,
  maxLog,
  maxPage
}: Options): Effect.Effect<RefusedWrites, never, RedisConnection> =>
  Effect.map(RedisConnection, (redis) => {
    const run = (
      script: RedisScript.RedisScript,
      names: ReadonlyArray<string>,
      values: ReadonlyArray<string>
    ) => Effect.provideService(RedisScript.run(script, names, values), RedisConnection, redis)

    const list: RefusedWrites["list"] = ({ before, limit }) => {
      if (before !== undefined && !isPosition(before)) return Effect.succeed([])
      const values = [before === undefined ? "+" : `(${before}`, String(Math.min(limit, maxPage))]
      return run(RefusedWritesScripts.list, [keys.refused], values).pipe(
        Effect.flatMap((reply) => Effect.mapError(decodeRows(reply), () => unreadable(redis.server))),
        Effect.map((rows) => rows.map(toRefusedWrite))
      )
    }

    const requeue: RefusedWrites["requeue"] = (position) =>
      Effect.gen(function* () {
        if (!isPosition(position)) return yield* notFound
        const values = [position, randomUUID(), String(maxLog)]
        const reply = yield* run(RefusedWritesScripts.requeue, [keys.refused, keys.log], values)
        const answer = yield* Effect.mapError(decodeRequeued(reply), () => unreadable(redis.server))
        return answer[0] === "Written" ? answer[1] : yield* new WriteRefused({ reason: answer[0] })
      })

    const discard: RefusedWrites["discard"] = (position) =>
      Effect.gen(function* () {
        if (!isPosition(position)) return yield* notFound
        const deleted = yield* redis.command(["XDEL", keys.refused, position])
        if (deleted !== 1) return yield* notFound
      })

    return { list, requeue, discard }
  })
