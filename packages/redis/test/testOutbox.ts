import { RemoteWrite } from "@twinbox/outbox"
import { RedisMirror, RedisOutbox, RedisOutboxReader } from "@twinbox/redis"
import { redisCommands } from "@twinbox/services"
import { Effect, Schedule } from "effect"
import { testRedis } from "../../../test/setup/testServers.ts"
import { type Connection, connect, customerOriginals, using } from "./testParts.ts"

export const stream = "customer"
export const logKey = "writes:{customer_v2}"
export const refusedKey = "refused:{customer_v2}"
export const lockKey = "reader:{customer_v2}"

const isText = (value: unknown): value is string => typeof value === "string"

/** Customers of tests are found by their e-mail address. */
export const indexes: RedisOutbox.Indexes = (document) => {
  const email =
    typeof document === "object" && document !== null && "email" in document ? document.email : undefined
  return isText(email) ? { email } : {}
}

type OutboxOptions = Partial<RedisOutbox.Options>

export const outboxOver = (connection: Connection, options: OutboxOptions = {}) =>
  using(connection)(RedisOutbox.make({ stream, indexes, ...options }))

/** A Redis of this test's own with an outbox on it. */
export const onFreshRedis = (options: OutboxOptions = {}) =>
  Effect.gen(function* () {
    const { url } = yield* testRedis
    const connection = yield* connect(url, { replyWithin: "5 seconds" })
    const outbox = yield* outboxOver(connection, options)
    return { url, connection, outbox, ask: askOf(url) }
  })

/** What Redis itself says, past the code under test. */
const askOf =
  (url: string) =>
  (...command: ReadonlyArray<string>) =>
    Effect.map(redisCommands(url, [command]), ([reply]) => reply)

export const originalsOver = (connection: Connection) =>
  using(connection)(RedisMirror.originals({ topics: [customerOriginals], isNew: true, indexes }))

type ReaderOptions = Partial<RedisOutboxReader.Options>

/** A reader that is quick to take over. */
export const readerOver = (
  connection: Connection,
  port: typeof RemoteWrite.RemoteWrites.Service,
  options: ReaderOptions = {}
) =>
  RedisOutboxReader.make({ stream, indexes, owner: "reader", lockFor: "300 millis", ...options }).pipe(
    using(connection),
    Effect.provideService(RemoteWrite.RemoteWrites, port)
  )

/** A reader at work, until the scope ends. */
export const running = (...given: Parameters<typeof readerOver>) =>
  Effect.gen(function* () {
    const reader = yield* readerOver(...given)
    const fiber = yield* Effect.forkScoped(reader.run)
    return { reader, fiber }
  })

/** Waits for something that must come to pass. */
export const until = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  holds.pipe(
    Effect.repeat({ until: (held) => held, schedule: Schedule.spaced("5 millis") }),
    Effect.timeout("20 seconds"),
    Effect.asVoid
  )

/** Waits until MongoDB has decided on everything. */
export const drained = ({ depth }: RedisOutbox.RedisOutbox) =>
  until(Effect.map(Effect.orDie(depth), (left) => left === 0))

/** The fields of a record's hash, and its tombstone. */
export const recordAt = (url: string, id: string) =>
  Effect.map(
    redisCommands(url, [
      ["HGETALL", `customer_v2:${id}`],
      ["GET", `tombstone:{customer_v2:${id}}`]
    ]),
    ([flat, tombstone]) => {
      const fields: Record<string, string> = {}
      const texts = Array.isArray(flat) ? flat : []
      for (let at = 0; at < texts.length; at += 2) fields[String(texts[at])] = String(texts[at + 1])
      return { ...fields, ...(isText(tombstone) ? { tombstone } : {}) }
    }
  )

/** What a listing holds: ids, and members of the index of e-mail addresses. */
export const listingsAt = (url: string) =>
  Effect.map(
    redisCommands(url, [
      ["ZRANGE", "ids:{customer_v2}", "0", "-1"],
      ["ZRANGE", "index:email:{customer_v2}", "0", "-1"]
    ]),
    ([ids, emails]) => ({ ids, emails })
  )

export const create = (id: string, document: Readonly<Record<string, unknown>>): RedisOutbox.Write => ({
  operation: "create",
  id,
  document
})
export const replace = (id: string, document: Readonly<Record<string, unknown>>): RedisOutbox.Write => ({
  operation: "replace",
  id,
  document
})
export const remove = (id: string): RedisOutbox.Write => ({ operation: "delete", id, document: null })
