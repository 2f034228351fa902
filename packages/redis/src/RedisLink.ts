import { createClient } from "@redis/client"
import { Deferred, Duration, Effect, Either, Exit, Redacted } from "effect"
import { fromDriver, RedisError } from "./RedisError.ts"

/** One command: its name and its arguments. */
export type Command = ReadonlyArray<string>

/** What Redis answers, in the terms of its protocol RESP2. */
export type Reply = string | number | null | ReadonlyArray<Reply>

/** A reply or an error for each command, in the order of the commands. */
export type Replies = ReadonlyArray<Either.Either<Reply, RedisError>>

export interface Options {
  /** `redis[s]://[user[:password]@]host[:port][/database]`; printed nowhere. */
  readonly url: Redacted.Redacted
  /** Time limit of one attempt to connect. */
  readonly attemptWithin: Duration.DurationInput
  /** Time limit of one `send`. */
  readonly replyWithin: Duration.DurationInput
}

/** One TCP connection. When it has ended it is over: whoever wants to go on makes another. */
export interface RedisLink {
  /** To be run once, before anything is sent. */
  readonly connect: Effect.Effect<void, RedisError>
  /** Sends commands at once and in order. Fails with `Unavailable` when the replies are not there in time. */
  readonly send: (commands: ReadonlyArray<Command>) => Effect.Effect<Replies, RedisError>
  /** Ends the connection at once; commands under way fail. */
  readonly drop: Effect.Effect<void>
  /** Waits for the end of the connection and tells why. */
  readonly ended: Effect.Effect<RedisError>
  /** Ends the connection when what is under way has its replies, or when that takes too long. */
  readonly close: Effect.Effect<void>
}

/** Commands that wait for their replies, at most; more fail as `Unavailable`. */
const maxPending = 100_000

/** Patience with replies under way when a connection is closed cleanly. */
const closeWithin = Duration.seconds(1)

const createDriver = (url: string, attemptWithin: Duration.DurationInput) =>
  createClient({
    url,
    RESP: 2,
    // Reconnecting is ours: a client that is destroyed while it waits to reconnect would come back to life.
    socket: { reconnectStrategy: false, connectTimeout: Duration.toMillis(attemptWithin) },
    // A timer per command doubles the cost of a pipeline; the time limit is ours, over the whole of it.
    commandOptions: { timeout: 0 },
    commandsQueueMaxLength: maxPending,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: "disabled"
  })

type Driver = ReturnType<typeof createDriver>

const protocols: ReadonlySet<string> = new Set(["redis:", "rediss:", "unix:"])

const isWellFormed = (url: string): boolean => URL.canParse(url) && protocols.has(new URL(url).protocol)

/** Host and port of a URL, without credentials. */
export const serverOf = (url: string): string => {
  const host = URL.canParse(url) ? new URL(url).host : ""
  return host === "" ? "the given URL" : host
}

/** The driver's own error quotes the URL, and with it the password. */
const malformed = (server: string) =>
  new RedisError({
    reason: "Refused",
    server,
    detail: "the URL is malformed, it reads redis://user:password@host:port/database"
  })

const timedOut = (server: string) =>
  new RedisError({ reason: "Unavailable", server, detail: "no answer in time" })

const close = (driver: Driver) =>
  Effect.promise(async () => (driver.isReady ? driver.close() : undefined)).pipe(
    // Finalizers cannot be interrupted, and so would wait for what their time limit gave up.
    Effect.interruptible,
    Effect.timeout(closeWithin),
    Effect.ignore,
    Effect.ensuring(Effect.sync(() => driver.destroy()))
  )

/** Connects and asks for a first answer, which shows wrong credentials and a server that is still loading. */
const connect = (driver: Driver, server: string) =>
  Effect.async<void, RedisError>((resume) => {
    let abandoned = false
    driver
      .connect()
      .then(() => {
        // The driver cannot cancel an attempt: one that succeeds too late is closed here.
        if (abandoned) driver.destroy()
        return driver.sendCommand(["PING"])
      })
      .then(
        () => resume(Effect.void),
        (error: unknown) => resume(Effect.fail(fromDriver(error, server)))
      )
    return Effect.sync(() => {
      abandoned = true
      driver.destroy()
    })
  })

/** Not stopped by interruption: replies that nobody waits for any longer are dropped. */
const send = (driver: Driver, server: string, commands: ReadonlyArray<Command>, within: Duration.Duration) =>
  Effect.async<Replies, RedisError>((resume) => {
    const answers: Array<Either.Either<Reply, RedisError>> = Array.from({ length: commands.length })
    let waiting = commands.length
    // A timer, where `Effect.timeout` would fork two fibers for each call: they cost as much as the call itself.
    const timer = setTimeout(() => resume(timedOut(server)), Duration.toMillis(within))
    const answer = (index: number, reply: Either.Either<Reply, RedisError>) => {
      answers[index] = reply
      waiting--
      if (waiting > 0) return
      clearTimeout(timer)
      resume(Effect.succeed(answers))
    }
    for (const [index, command] of commands.entries()) {
      driver.sendCommand<Reply>(command).then(
        (reply) => answer(index, Either.right(reply)),
        (error: unknown) => answer(index, Either.left(fromDriver(error, server)))
      )
    }
    return Effect.sync(() => clearTimeout(timer))
  })

/** A connection that is not open yet; it has to be closed in any case. Fails with `Refused` when the URL is malformed. */
export const make = (options: Options): Effect.Effect<RedisLink, RedisError> =>
  Effect.gen(function* () {
    const url = Redacted.value(options.url)
    const server = serverOf(url)
    const replyWithin = Duration.decode(options.replyWithin)
    // The driver would take an empty URL for its default one.
    if (!isWellFormed(url)) return yield* malformed(server)
    const ended = yield* Deferred.make<RedisError>()
    const end = (error: RedisError) => Deferred.unsafeDone(ended, Exit.succeed(error))
    const driver = yield* Effect.try({
      try: () => createDriver(url, options.attemptWithin),
      catch: () => malformed(server)
    })
    driver.on("error", (error: unknown) => end(fromDriver(error, server)))
    return {
      connect: connect(driver, server).pipe(
        Effect.timeoutFail({ duration: options.attemptWithin, onTimeout: () => timedOut(server) })
      ),
      send: (commands) =>
        commands.length === 0 ? Effect.succeed([]) : send(driver, server, commands, replyWithin),
      drop: Effect.sync(() => {
        end(new RedisError({ reason: "Unavailable", server, detail: "the connection was given up" }))
        driver.destroy()
      }),
      ended: Deferred.await(ended),
      close: close(driver)
    }
  })
