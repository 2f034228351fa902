import { HttpServer } from "@effect/platform"
import { MongoDatabase, MongoOutbox } from "@twinbox/mongodb"
import { redisCommands } from "@twinbox/services"
import { Context, Effect, Either, Layer, Option, Redacted } from "effect"
import { testMongo, testRedis } from "../../../test/setup/testServers.ts"
import * as ApiRole from "../src/ApiRole.ts"
import * as ApiTokens from "../src/ApiTokens.ts"
import * as Customers from "../src/Customers.ts"
import * as HttpListener from "../src/HttpListener.ts"
import * as MirrorRedis from "../src/MirrorRedis.ts"
import * as Readiness from "../src/Readiness.ts"
import * as RequestLimits from "../src/RequestLimits.ts"
import * as RoleFailures from "../src/RoleFailures.ts"
import { Settings } from "../src/Settings.ts"
import { collecting, pseudonymKey } from "./appLayers.ts"

export interface Call {
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON; text and bytes as they are. */
  readonly body?: unknown
}

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The text as JSON; undefined if it is none. */
  readonly body: unknown
}

export interface Options {
  /** API_TOKENS. Default: none, so that the API is open. */
  readonly tokens?: string
  /** Default: as in the app. */
  readonly limits?: Layer.Layer<RequestLimits.RequestLimits>
  /** Default: one of its own; null: there is none. */
  readonly redisUrl?: string | null
  /** Whether originals are published. Default true. */
  readonly twoWay?: boolean
}

const readable = (text: string): unknown =>
  Either.getOrUndefined(Either.try(() => JSON.parse(text) as unknown))

const bodyOf = (body: unknown): string | Uint8Array<ArrayBuffer> | undefined => {
  if (body === undefined || typeof body === "string" || body instanceof Uint8Array) {
    return body as string | Uint8Array<ArrayBuffer> | undefined
  }
  return JSON.stringify(body)
}

/** One request over a connection of its own; a body is JSON unless the headers say something else. */
export const request = (
  url: string,
  method: string,
  { body, headers = {} }: Call = {}
): Effect.Effect<Reply> =>
  Effect.promise(async (signal) => {
    const sent = bodyOf(body)
    const response = await fetch(url, {
      method,
      signal,
      redirect: "manual",
      headers: {
        connection: "close",
        ...(sent === undefined ? {} : { "content-type": "application/json" }),
        ...headers
      },
      ...(sent === undefined ? {} : { body: sent })
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, body: readable(text) }
  })

const mirrorRedis = (url: string | null) =>
  Layer.scoped(
    MirrorRedis.MirrorRedis,
    url === null
      ? Effect.succeed(Either.left({ message: "there is no redis-server on this machine" }))
      : Effect.map(MirrorRedis.connect(url), Either.right)
  )

/** Tokens that are none would leave the API open. */
const parseTokens = (text: string): ApiTokens.ApiTokens => {
  const tokens = ApiTokens.parse(text)
  if (tokens === undefined) throw new Error("these are no API_TOKENS")
  return tokens
}

const settings = (options: Options) =>
  Layer.succeed(Settings, {
    http: { host: "127.0.0.1", port: 0 },
    twoWay: options.twoWay ?? true,
    exports: { expiryMinutes: 60, maxMegabytes: 64, maxPerUser: 3, heartbeatLimitMillis: 15_000 },
    apiTokens: Option.map(Option.fromNullable(options.tokens), parseTokens)
  } as Context.Tag.Service<Settings>)

/** The API on a MongoDB and a Redis of its own, until the scope ends, with ways to look behind it. */
export const startApi = (options: Options = {}) =>
  Effect.gen(function* () {
    const mongo = yield* testMongo
    const redis = yield* testRedis
    const redisUrl = options.redisUrl === undefined ? redis.url : options.redisUrl
    const mongoLayer = MongoOutbox.layer({
      uri: Redacted.make(mongo.uri),
      database: mongo.database,
      appName: mongo.database
    })
    const logs: Array<string> = []
    const context = yield* Layer.build(
      ApiRole.served.pipe(
        Layer.provideMerge(HttpListener.layer),
        Layer.provideMerge(Layer.provide(Customers.layer, pseudonymKey)),
        Layer.provideMerge(options.limits ?? RequestLimits.layer()),
        Layer.provideMerge(
          Layer.mergeAll(mongoLayer, mirrorRedis(redisUrl), Readiness.layer, RoleFailures.layer)
        ),
        Layer.provideMerge(settings(options)),
        Layer.provide(collecting(logs))
      )
    )
    const { address } = yield* Effect.provide(HttpServer.HttpServer, context)
    const database = yield* Effect.provide(MongoDatabase.MongoDatabase, context)
    const { db } = database
    const base = HttpServer.formatAddress(address)
    const count = (collection: string) => Effect.promise(() => db.collection(collection).countDocuments())
    return {
      base,
      port: address._tag === "TcpAddress" ? address.port : 0,
      call: (method: string, path: string, call?: Call) => request(`${base}${path}`, method, call),
      customers: yield* Effect.provide(Customers.Customers, context),
      /** For fail points. */
      database,
      db,
      /** Turns away whatever comes, as a stop does. */
      close: Effect.flatMap(Effect.provide(RequestLimits.RequestLimits, context), ({ close }) => close),
      /** What was logged so far. */
      logs,
      readiness: yield* Effect.provide(Readiness.Readiness, context),
      redisUrl: redis.url,
      /** How much there is in either store: a request that was refused must not change it. */
      stock: Effect.all({
        customers: count("customers"),
        twins: count("customers_anonymised"),
        tombstones: count("customers_tombstones"),
        messages: Effect.promise(() =>
          db.collection("outbox").countDocuments({ payload: { $exists: true } })
        ),
        keys: count("idempotency_keys"),
        redis: Effect.map(redisCommands(redis.url, [["KEYS", "*"]]), ([keys]) =>
          Array.isArray(keys) ? keys.map(String).toSorted() : []
        )
      })
    }
  })

export type Api = Effect.Effect.Success<ReturnType<typeof startApi>>

/** An API that several tests share: they must not mind what the others leave in it. */
export class SharedApi extends Context.Tag("@twinbox/reference-app/test/SharedApi")<SharedApi, Api>() {}

export const sharedApi = (options?: Options) => Layer.scoped(SharedApi, startApi(options))
