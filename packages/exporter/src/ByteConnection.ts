import { createClient, RESP_TYPES } from "@redis/client"
import { RedisError, type RedisScript } from "@twinbox/redis"
import { Config, Context, Duration, Effect, Layer, Redacted, type Scope } from "effect"

export interface Options {
  /** `redis[s]://[user[:password]@]host[:port][/database]`, the same as that of the `RedisConnection`; printed nowhere. */
  readonly url: Redacted.Redacted
  /** Time limit of one call, and of connecting; then the connection is given up. Default 10 seconds. */
  readonly replyWithin?: Duration.DurationInput
}

/** What Redis answers: bulk strings as the bytes they are. */
export type Reply = Buffer | string | number | null | ReadonlyArray<Reply>

/**
 * A connection for the data of exports, which is bytes and not always text. It is another one than that of all other
 * calls, so that those never wait behind megabytes. It is made when it is needed and there is none.
 */
export interface Bytes {
  readonly command: (command: ReadonlyArray<string | Buffer>) => Effect.Effect<Reply, RedisError.RedisError>
  /** Calls a script, with its text if Redis does not know it yet. */
  readonly run: (
    script: RedisScript.RedisScript,
    keys: ReadonlyArray<string>,
    values: ReadonlyArray<string | Buffer>
  ) => Effect.Effect<Reply, RedisError.RedisError>
}

export class ByteConnection extends Context.Tag("@twinbox/exporter/ByteConnection")<
  ByteConnection,
  Bytes
>() {}

const defaultReplyWithin = Duration.seconds(10)

const createDriver = (url: string, connectTimeout: number) =>
  createClient({
    url,
    RESP: 2,
    socket: { reconnectStrategy: false, connectTimeout },
    commandOptions: { timeout: 0, typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: "disabled"
  })

type Driver = ReturnType<typeof createDriver>

/** Not stopped by interruption: a reply that nobody waits for any longer is dropped. */
const within = <A>(
  server: string,
  millis: number,
  driver: Driver,
  call: () => Promise<A>
): Effect.Effect<A, RedisError.RedisError> =>
  Effect.async((resume) => {
    // A timer, where `Effect.timeout` would fork two fibers for each call.
    const timer = setTimeout(() => {
      driver.destroy()
      resume(new RedisError.RedisError({ reason: "Unavailable", server, detail: "no answer in time" }))
    }, millis)
    const settle = (result: Effect.Effect<A, RedisError.RedisError>) => {
      clearTimeout(timer)
      resume(result)
    }
    call().then(
      (reply) => settle(Effect.succeed(reply)),
      (error: unknown) => settle(RedisError.fromDriver(error, server))
    )
    return Effect.sync(() => clearTimeout(timer))
  })

/** Makes no connection yet; closes it at the end of the scope. */
export const make = (options: Options): Effect.Effect<Bytes, never, Scope.Scope> =>
  Effect.gen(function* () {
    const url = Redacted.value(options.url)
    const server = URL.canParse(url) ? new URL(url).host : "the given URL"
    const millis = Duration.toMillis(options.replyWithin ?? defaultReplyWithin)
    const connecting = yield* Effect.makeSemaphore(1)
    let current: Driver | undefined
    yield* Effect.addFinalizer(() => Effect.sync(() => current?.destroy()))

    const connect = Effect.gen(function* () {
      const driver = yield* Effect.try({
        try: () => createDriver(url, millis),
        catch: () => new RedisError.RedisError({ reason: "Refused", server, detail: "the URL is malformed" })
      })
      // A connection that is lost fails what is under way, and is not used again.
      driver.on("error", () => driver.destroy())
      current = driver
      yield* within(server, millis, driver, () => driver.connect()).pipe(
        // The driver cannot cancel an attempt.
        Effect.onInterrupt(() => Effect.sync(() => driver.destroy()))
      )
      return driver
    })
    const open = Effect.suspend(() => (current?.isReady === true ? Effect.succeed(current) : connect))

    const command: Bytes["command"] = (one) =>
      Effect.gen(function* () {
        const driver = current?.isReady === true ? current : yield* connecting.withPermits(1)(open)
        return yield* within(server, millis, driver, () => driver.sendCommand<Reply>(one))
      })

    const run: Bytes["run"] = (script, keys, values) => {
      const rest = [String(keys.length), ...keys, ...values]
      return Effect.catchIf(
        command(["EVALSHA", script.sha, ...rest]),
        (error) => error.detail === "NOSCRIPT",
        () => command(["EVAL", script.text, ...rest])
      )
    }
    return { command, run }
  })

export const layer = (options: Options): Layer.Layer<ByteConnection> =>
  Layer.scoped(ByteConnection, make(options))

/** Reads `REDIS_URL`. */
export const layerConfig = Layer.scoped(
  ByteConnection,
  Effect.flatMap(Config.redacted("REDIS_URL"), (url) => make({ url }))
)
