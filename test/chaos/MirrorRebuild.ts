import { Key, Message, type Sink } from "@twinbox/outbox"
import { type RedisConnection, type RedisError, RedisMirror } from "@twinbox/redis"
import { Data, Effect } from "effect"
import type { Db } from "mongodb"
import {
  customerCollection,
  customerStream,
  customerTopic
} from "../../examples/reference-app/src/Customer.ts"

/** MongoDB did not answer. */
class ReadFailed extends Data.TaggedError("ReadFailed")<{ readonly cause: unknown }> {}

export type RebuildError = ReadFailed | RedisError.RedisError | Sink.SinkError

/** Messages of one batch. */
const batchSize = 500

interface Stored {
  readonly _id: string
  readonly version: number
  readonly [field: string]: unknown
}

/** The newest state of a customer as a message; without a payload for a deleted one. */
const messageOf = ({ _id, version }: Stored, payload: string | null): Message.Message =>
  Message.place(Message.fromText(customerTopic, Key.make(customerStream, _id), payload), {
    sequence: version,
    ordinal: 0,
    createdAt: 0
  })

const publishedOf = ({ fingerprint: _, keyVersion: __, ...published }: Stored): string =>
  JSON.stringify(published)

/**
 * All customers, deleted ones too: an older message that comes once more must find that there is something newer.
 * What commits while this reads is still owed by the relays, for none has it confirmed by a mirror that is not ready.
 */
const readAll = (db: Db) =>
  Effect.tryPromise({
    try: async () => {
      const read = (name: string) =>
        db
          .collection<Stored>(name)
          .find({}, { readConcern: { level: "majority" } })
          .toArray()
      const tombstones = await read(`${customerCollection}_tombstones`)
      const twins = await read(`${customerCollection}_anonymised`)
      return [
        ...tombstones.map((tombstone) => messageOf(tombstone, null)),
        ...twins.map((twin) => messageOf(twin, publishedOf(twin)))
      ]
    },
    catch: (cause) => new ReadFailed({ cause })
  })

/** Gives a mirror that lost its data all of it again, and says that it is ready. */
export const rebuild = (
  db: Db,
  mirror: RedisMirror.RedisMirror<"anonymized">
): Effect.Effect<void, RebuildError, RedisConnection.RedisConnection> =>
  Effect.gen(function* () {
    const messages = yield* readAll(db)
    for (let at = 0; at < messages.length; at += batchSize) {
      yield* mirror.deliver(messages.slice(at, at + batchSize)).pipe(
        // It took the batch, and says what is known: it has lost its data.
        Effect.catchIf(
          ({ reason }) => reason === "NotReady",
          () => Effect.void
        )
      )
    }
    yield* RedisMirror.markReady()
  })
