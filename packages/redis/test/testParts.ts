import { redisCommands, RedisServer } from "@twinbox/services"
import { Key, type Message, type Sink, Slot, Topic } from "@twinbox/outbox"
import { Context, Effect, Option, Redacted, Schema } from "effect"
import { RedisConnection, RedisMirror } from "@twinbox/redis"

export const Customer = Schema.Struct({ name: Schema.String })
export const customers = Topic.anonymized("customers", Customer)
export const customerOriginals = Topic.original("customer-originals", Customer)

/** A Redis of this test's own, for what cannot be done to a shared one. */
export const ownRedis = (...given: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const options = yield* RedisServer.config({ report: () => Effect.void, arguments: given })
    return yield* RedisServer.start({ ...options, uri: Option.none() })
  })

/** Connects with short time limits. */
export const connect = (url: string, limits: Partial<RedisConnection.Options> = {}) =>
  RedisConnection.make({
    url: Redacted.make(url),
    connectWithin: "2 seconds",
    replyWithin: "500 millis",
    ...limits
  })

export type Connection = Effect.Effect.Success<ReturnType<typeof connect>>

export const using = (connection: Connection) =>
  Effect.provide(Context.make(RedisConnection.RedisConnection, connection))

type MirrorOptions = Parameters<typeof RedisMirror.make>[0]

/** A new mirror on the Redis of a URL. */
export const mirrorAt = (url: string, options: Partial<MirrorOptions> = {}) =>
  Effect.gen(function* () {
    const connection = yield* connect(url)
    const mirror = yield* using(connection)(
      RedisMirror.make({ topics: [customers], isNew: true, ...options })
    )
    return { mirror, connection }
  })

let ids = 0

/** A message about customer `id`; null: deleted. */
export const message = (id: string, sequence: number, payload: string | null): Message.Message => {
  const key = Key.make("customer", id)
  return {
    id: `message-${++ids}`,
    topic: customers.name,
    key,
    slot: Slot.ofKey(key),
    sequence,
    ordinal: 0,
    payload,
    headers: {},
    createdAt: 0
  }
}

export const named = (id: string, sequence: number, name: string) =>
  message(id, sequence, JSON.stringify({ name }))

/** What Redis itself says, past the code under test. */
export const ask = (url: string, ...command: ReadonlyArray<string>) =>
  Effect.map(redisCommands(url, [command]), ([reply]) => reply)

/** Version and text of a mirrored record, and the version of its tombstone. */
export const recordAt = (url: string, id: string) =>
  Effect.map(
    redisCommands(url, [
      ["HMGET", `customer:${id}`, "version", "json"],
      ["GET", `tombstone:{customer:${id}}`]
    ]),
    ([hash, tombstone]) => {
      const [version, json] = Array.isArray(hash) ? hash : []
      return { version, json, tombstone }
    }
  )

export const mirrored = (version: string, name: string) => ({
  version,
  json: JSON.stringify({ name }),
  tombstone: null
})
export const buried = (version: string) => ({ version: null, json: null, tombstone: version })

/** The error of a delivery that must fail. */
export const failureOf = (mirror: Sink.Sink, batch: ReadonlyArray<Message.Message>) =>
  Effect.flip(mirror.deliver(batch))
