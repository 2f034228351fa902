import { Effect, Schema } from "effect"
import { RedisConnection } from "./RedisConnection.ts"
import type { RedisError } from "./RedisError.ts"
import type { RedisOutboxKeys } from "./RedisOutboxKeys.ts"
import * as RedisScript from "./RedisScript.ts"
import { unreadable } from "./UnreadableReply.ts"
import * as WriteLogEntry from "./WriteLogEntry.ts"
import * as WriteLogScripts from "./WriteLogScripts.ts"

const Reply = Schema.Union(
  Schema.Tuple(Schema.Literal("Lost")),
  Schema.Tuple(Schema.Literal("Taken"), Schema.Number, Schema.Array(WriteLogEntry.RawEntry), Schema.String)
)
const decodeReply = Schema.decodeUnknown(Reply)

/** What a reader gets: nothing any more, or the next writes. */
export type Taking =
  | { readonly _tag: "Lost" }
  | {
      readonly _tag: "Taken"
      /** How many writes the log holds. */
      readonly depth: number
      readonly entries: ReadonlyArray<WriteLogEntry.WriteLogEntry>
      /** Where to go on. */
      readonly next: string
    }

export interface Options {
  readonly keys: RedisOutboxKeys
  readonly stream: string
  readonly consumer: string
  /** The lock, as its owner holds it. */
  readonly holder: string
  readonly lockMillis: number
}

/** What to take: see `WriteLogScripts.take`. */
export interface Wanted {
  readonly count: number
  readonly from: string
  /** Whether a claim shows that a reader may have died of these writes. */
  readonly countsDeliveries: boolean
}

/**
 * Takes writes from the log and renews the lock. When it fails, writes may have been taken all the same, so the next
 * one has to claim.
 */
export const take = (
  { consumer, holder, keys, lockMillis, stream }: Options,
  { count, countsDeliveries, from }: Wanted
): Effect.Effect<Taking, RedisError, RedisConnection> =>
  Effect.gen(function* () {
    const redis = yield* RedisConnection
    const reply = yield* RedisScript.run(
      WriteLogScripts.take,
      [keys.lock, keys.log],
      [
        holder,
        String(lockMillis),
        WriteLogScripts.group,
        consumer,
        String(count),
        from,
        countsDeliveries ? "1" : ""
      ]
    )
    const [name, depth, entries, next] = yield* Effect.mapError(decodeReply(reply), () =>
      unreadable(redis.server)
    )
    if (name === "Lost") return { _tag: "Lost" }
    return {
      _tag: "Taken",
      depth,
      entries: entries.map((entry) => WriteLogEntry.decode(stream, entry)),
      next
    }
  })
