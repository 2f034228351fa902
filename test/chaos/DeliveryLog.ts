import { createHash } from "node:crypto"
import { type Message, Sink, type Topic } from "@twinbox/outbox"
import type { RedisConnection, RedisError } from "@twinbox/redis"
import { type Context, Effect, Either } from "effect"
import type { Received } from "../../packages/testkit/src/DeliveryChecker.ts"

type Redis = Context.Tag.Service<RedisConnection.RedisConnection>

/** Stream in Redis that holds every arrival, in order. */
const stream = "deliveries"

/** Entries of one read. */
const pageSize = 2_000

/** Stands for a payload: long enough to tell one from another, short enough to keep for hundreds of thousands. */
export const digestOf = (payload: string | null): string | null =>
  payload === null ? null : createHash("sha256").update(payload).digest("base64url").slice(0, 20)

/** An arrival at the log, and the relay that brought it. */
export interface Arrival extends Received {
  readonly relay: string
}

const entryOf = (message: Message.Message, relay: string): string => {
  const { id, key, ordinal, sequence, topic } = message
  const arrival: Arrival = { id, key, sequence, ordinal, topic, payload: digestOf(message.payload), relay }
  return JSON.stringify(arrival)
}

/** A sink that writes down every arrival, also repeated ones, so that they can be judged from outside. */
export const sink = (
  redis: Redis,
  relay: string,
  topics: ReadonlyArray<Topic.Any<"anonymized">>
): Sink.Sink<"anonymized"> => ({
  name: "log",
  topics,
  deliver: (batch) =>
    redis.pipeline(batch.map((message) => ["XADD", stream, "*", "arrival", entryOf(message, relay)])).pipe(
      Effect.flatMap(Either.all),
      Effect.mapError((cause) => new Sink.SinkError({ sink: "log", reason: "Unavailable", cause })),
      Effect.as([])
    )
})

/** How many arrivals there were. */
export const count = (redis: Redis): Effect.Effect<number, RedisError.RedisError> =>
  Effect.map(redis.command(["XLEN", stream]), Number)

type Entry = readonly [id: string, fields: ReadonlyArray<string>]

/** Every arrival, in order. */
export const read = (redis: Redis): Effect.Effect<ReadonlyArray<Arrival>, RedisError.RedisError> =>
  Effect.gen(function* () {
    const arrivals: Array<Arrival> = []
    let from = "-"
    for (;;) {
      const reply = yield* redis.command(["XRANGE", stream, from, "+", "COUNT", String(pageSize)])
      const entries = reply as unknown as ReadonlyArray<Entry>
      const last = entries.at(-1)
      if (last === undefined) return arrivals
      for (const [, fields] of entries) arrivals.push(JSON.parse(fields[1] ?? "") as Arrival)
      from = `(${last[0]}`
    }
  })
