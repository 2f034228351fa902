import { ByteConnection, Exporter } from "@twinbox/exporter"
import type { MongoDatabase, MongoError } from "@twinbox/mongodb"
import { RedisConnection } from "@twinbox/redis"
import { Context, Duration, Effect, Either, Layer, type Option } from "effect"
import * as ExportAuditTrail from "./ExportAuditTrail.ts"
import { type Connections, MirrorRedis } from "./MirrorRedis.ts"
import { Settings } from "./Settings.ts"

/** Runs exports, and finds those of other processes; none where there is no Redis. */
export class Exports extends Context.Tag("@twinbox/reference-app/Exports")<
  Exports,
  Option.Option<Exporter.ExporterService>
>() {}

const bytesPerMegabyte = 1024 * 1024

const over = ({ bytes, redis }: Connections) =>
  Effect.gen(function* () {
    const { expiryMinutes, heartbeatLimitMillis, maxMegabytes, maxPerUser } = (yield* Settings).exports
    return yield* Exporter.make({
      expiry: Duration.minutes(expiryMinutes),
      heartbeatLimit: Duration.millis(heartbeatLimitMillis),
      maxBytes: maxMegabytes * bytesPerMegabyte,
      maxRunningPerUser: maxPerUser
    })
  }).pipe(
    Effect.provideService(RedisConnection.RedisConnection, redis),
    Effect.provideService(ByteConnection.ByteConnection, bytes)
  )

const make = Effect.flatMap(
  MirrorRedis,
  Either.match({ onLeft: () => Effect.succeedNone, onRight: (found) => Effect.asSome(over(found)) })
)

/** At its end, the exports of this process end as FAILED. */
export const layer: Layer.Layer<
  Exports,
  MongoError.MongoError,
  MirrorRedis | MongoDatabase.MongoDatabase | Settings
> = Layer.provide(Layer.scoped(Exports, make), ExportAuditTrail.layer)
