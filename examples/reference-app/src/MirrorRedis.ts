import { ByteConnection } from "@twinbox/exporter"
import { RedisConnection, type RedisError } from "@twinbox/redis"
import { RedisServer, type ServiceError } from "@twinbox/services"
import { type ConfigError, Context, Effect, Either, Layer, Redacted, type Scope } from "effect"
import { Path } from "@effect/platform/Path"
import { Settings } from "./Settings.ts"

/** The connections to one Redis. */
export interface Connections {
  readonly redis: Context.Tag.Service<RedisConnection.RedisConnection>
  /** For the data of exports, so that nothing else waits behind megabytes. */
  readonly bytes: ByteConnection.Bytes
}

/** Why a run is without Redis. */
export interface NoRedis {
  readonly message: string
}

/** The Redis of this run, or why there is none. */
export class MirrorRedis extends Context.Tag("@twinbox/reference-app/MirrorRedis")<
  MirrorRedis,
  Either.Either<Connections, NoRedis>
>() {}

/** No server program on this machine, and none to be fetched: the app can do without. */
const isAbsent = (error: { readonly _tag: string; readonly reason?: string }): error is ServiceError =>
  error._tag === "ServiceError" && (error.reason === "NotFound" || error.reason === "DownloadFailed")

/** Connects to the Redis of a URL. */
export const connect = (uri: string): Effect.Effect<Connections, RedisError.RedisError, Scope.Scope> => {
  const options = { url: Redacted.make(uri) }
  return Effect.all({ redis: RedisConnection.make(options), bytes: ByteConnection.make(options) })
}

const open: Effect.Effect<
  Connections,
  ServiceError | RedisError.RedisError | ConfigError.ConfigError,
  Settings | Path | Scope.Scope
> = Effect.gen(function* () {
  const { dataFolder } = yield* Settings
  const paths = yield* Path
  const config = yield* RedisServer.config({ dataFolder: paths.join(dataFolder, "redis") })
  const server = yield* RedisServer.start(config)
  return yield* connect(server.uri)
})

/** Finds or starts a Redis. */
export const layer = Layer.scoped(
  MirrorRedis,
  open.pipe(
    Effect.map(Either.right),
    Effect.catchIf(isAbsent, (error) => Effect.succeed(Either.left<NoRedis>(error)))
  )
)

/** Where no role needs Redis, none is started. */
export const layerUnneeded: Layer.Layer<MirrorRedis> = Layer.succeed(
  MirrorRedis,
  Either.left({ message: "no role of this process needs Redis" })
)

/** The connections themselves, for those who cannot do without. */
export const connections: Layer.Layer<
  RedisConnection.RedisConnection | ByteConnection.ByteConnection,
  NoRedis,
  MirrorRedis
> = Layer.effectContext(
  Effect.map(Effect.flatten(MirrorRedis), ({ bytes, redis }) =>
    Context.make(RedisConnection.RedisConnection, redis).pipe(
      Context.add(ByteConnection.ByteConnection, bytes)
    )
  )
)
