import { Effect } from "effect"
import { marker } from "./MirrorKeys.ts"
import * as MirrorScripts from "./MirrorScripts.ts"
import { type Command, RedisConnection, type Reply } from "./RedisConnection.ts"
import type { RedisError } from "./RedisError.ts"
import * as RedisScript from "./RedisScript.ts"

/** A marker as one process knows it. */
interface Sighting {
  /** A new one each time that the marker is made. */
  readonly generation: string
  /** The highest count of batches seen in that generation. */
  readonly batches: number
}

const none: Sighting = { generation: "", batches: 0 }

const sightingOf = (reply: Reply): Sighting | undefined => {
  if (!Array.isArray(reply)) return undefined
  const [generation, batches]: ReadonlyArray<Reply> = reply
  return typeof generation === "string" ? { generation, batches: Number(batches ?? 0) } : undefined
}

/**
 * What one process knows of a mirror's marker. The marker is a hash that says: nothing that was given to this
 * mirror has been lost. It goes when Redis loses its data; and it counts batches, so that a process also
 * notices when Redis goes back to an older state.
 */
export class MirrorMarker {
  readonly #key: string
  #seen: Sighting = none

  constructor(name: string) {
    this.#key = marker(name)
  }

  /**
   * To be sent after the writes of a batch: a loss before or between them shows in their own batch, and a count
   * that survived a loss vouches for the writes before it.
   */
  countBatch(): Command {
    const { batches, generation } = this.#seen
    return RedisScript.call(MirrorScripts.countBatch, [this.#key], [generation, String(batches)])
  }

  /** Takes the reply to `countBatch`; false: the data was lost. */
  noteCount(reply: Reply): boolean {
    const sighting = sightingOf(reply)
    if (sighting === undefined) return false
    const isSame = sighting.generation === this.#seen.generation
    this.#seen = isSame && sighting.batches < this.#seen.batches ? this.#seen : sighting
    return true
  }

  /** Asks whether the marker stands, and changes nothing. */
  readonly isStanding: Effect.Effect<boolean, RedisError, RedisConnection> = Effect.gen(this, function* () {
    const before = this.#seen
    const redis = yield* RedisConnection
    const found = sightingOf(yield* redis.command(["HMGET", this.#key, "generation", "batches"]))
    if (found === undefined) return false
    return found.generation !== before.generation || found.batches >= before.batches
  })
}

/** Makes the marker unless it stands already. */
export const makeUnlessThere = (name: string): Effect.Effect<void, RedisError, RedisConnection> =>
  Effect.flatMap(RedisConnection, (redis) =>
    Effect.asVoid(redis.command(["HSETNX", marker(name), "generation", globalThis.crypto.randomUUID()]))
  )

/** Makes the marker anew. */
export const makeAnew = (name: string): Effect.Effect<void, RedisError, RedisConnection> =>
  Effect.flatMap(RedisConnection, (redis) =>
    Effect.asVoid(
      redis.command(["HSET", marker(name), "generation", globalThis.crypto.randomUUID(), "batches", "0"])
    )
  )
