import { expect, it } from "@effect/vitest"
import { MongoDatabase } from "@twinbox/mongodb"
import { RemoteWrite } from "@twinbox/outbox"
import { RedisConnection, RedisOutboxReader } from "@twinbox/redis"
import { Context, Effect, Layer, Option, Redacted } from "effect"
import { customerStream } from "../src/Customer.ts"
import { customerIndexes } from "../src/CustomerIndexes.ts"
import { Customers } from "../src/Customers.ts"
import * as RemoteCustomers from "../src/RemoteCustomers.ts"
import { type Api, startApi } from "./apiServer.ts"
import { short } from "./sampleCustomers.ts"

interface Refused {
  readonly items: ReadonlyArray<{ readonly position: string; readonly [field: string]: unknown }>
  readonly next: string | null
}

/** Brings the writes of v2 to MongoDB. What changes in MongoDB does not come back: there is no relay. */
const startReader = ({ customers, database, redisUrl }: Api) =>
  Effect.gen(function* () {
    const remote = yield* Layer.build(
      RemoteCustomers.layer.pipe(
        Layer.provide(Layer.succeed(Customers, customers)),
        Layer.provide(Layer.succeed(MongoDatabase.MongoDatabase, database))
      )
    )
    const writes = Option.getOrThrow(Context.get(remote, RemoteCustomers.RemoteCustomers))
    const redis = yield* RedisConnection.make({ url: Redacted.make(redisUrl) })
    const options = { stream: customerStream, indexes: customerIndexes, owner: "test" }
    const reader = yield* RedisOutboxReader.make(options).pipe(
      Effect.provideService(RemoteWrite.RemoteWrites, writes),
      Effect.provideService(RedisConnection.RedisConnection, redis)
    )
    yield* Effect.forkScoped(reader.run).pipe(
      Effect.provideService(RemoteWrite.RemoteWrites, writes),
      Effect.provideService(RedisConnection.RedisConnection, redis)
    )
  })

const until = <A>(look: Effect.Effect<A>, isSo: (found: A) => boolean) =>
  Effect.repeat(Effect.delay(look, "20 millis"), { until: isSo }).pipe(Effect.timeout("20 seconds"))

it.scopedLive(
  "a write that MongoDB refuses is listed with its reason, and can be given again or forgotten",
  () =>
    Effect.gen(function* () {
      const api = yield* startApi()
      const { call } = api
      yield* startReader(api)
      const made = yield* call("POST", "/v2/customer", { body: short })
      const { uid } = made.body as { readonly uid: string }
      const one = `/v2/customer/${uid}`
      const settled = yield* until(call("GET", one), ({ headers }) => headers.get("x-pending") === null)
      expect([settled.body, settled.headers.get("etag")]).toEqual([{ uid, version: 1, ...short }, '"1"'])
      expect((yield* call("GET", one, { headers: { "if-none-match": '"1"' } })).status).toBe(304)

      expect((yield* call("PATCH", `/v1/customer/${uid}`, { body: { name: "v1" } })).status).toBe(200)
      const late = yield* call("PATCH", one, { body: { address: "secret" }, headers: { "if-match": '"1"' } })
      expect(late.status).toBe(200)
      const refused = Effect.map(call("GET", "/v2/refused"), ({ body }) => body as Refused)
      const listed = yield* until(refused, ({ items }) => items.length === 1)
      const [item] = listed.items
      expect(listed).toEqual({
        items: [
          {
            position: expect.stringMatching(/^\d+-\d+$/),
            write: late.headers.get("x-pending"),
            uid,
            operation: "patch",
            reason: "VersionConflict",
            attempts: 1,
            refusedAt: expect.stringMatching(/Z$/)
          }
        ],
        next: null
      })
      expect((yield* call("GET", one)).body).toEqual({ uid, version: 2, ...short, name: "v1" })

      const requeued = yield* call("POST", `/v2/refused/${item?.position}/requeue`)
      expect([requeued.status, requeued.headers.get("x-pending")]).toEqual([
        204,
        expect.stringMatching(/^\d+-\d+$/)
      ])
      yield* until(call("GET", `/v1/customer/${uid}`), ({ body }) => JSON.stringify(body).includes("secret"))
      expect((yield* refused).items).toEqual([])

      yield* call("PUT", `/v2/customer/${uid}`, { body: short, headers: { "if-match": '"2"' } })
      const again = yield* until(refused, ({ items }) => items.length === 1)
      const path = `/v2/refused/${again.items[0]?.position}`
      expect((yield* call("DELETE", path)).status).toBe(204)
      expect((yield* call("DELETE", path)).status).toBe(404)
      expect((yield* refused).items).toEqual([])
    })
)
