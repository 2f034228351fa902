import { Backoff } from "@twinbox/outbox"
import {
  Config,
  Context,
  Deferred,
  Duration,
  Effect,
  Either,
  Layer,
  Redacted,
  Schedule,
  type Scope
} from "effect"
import { RedisError, type RedisErrorReason } from "./RedisError.ts"
import * as RedisLink from "./RedisLink.ts"

export type { Command, Replies, Reply } from "./RedisLink.ts"

export interface Options {
  /** `redis[s]://[user[:password]@]host[:port][/database]`; printed nowhere. */
  readonly url: Redacted.Redacted
  /** How long a start waits for a server that does not answer. Default 10 seconds. */
  readonly connectWithin?: Duration.DurationInput
  /** Time limit of one call; then the connection is given up and made anew. Default 10 seconds. */
  readonly replyWithin?: Duration.DurationInput
}

/**
 * A connection to one Redis server that is made anew whenever it is lost.
 *
 * While there is none, calls fail at once; they never queue up. A call that was under way when the connection
 * was lost fails as `Unavailable` and may have been applied.
 */
export interface Connection {
  /** Host and port, without credentials. */
  readonly server: string
  /**
   * Sends commands in one round trip. Succeeds with a reply or an error for each; fails as a whole with
   * `Unavailable`, or with what keeps it from connecting.
   */
  readonly pipeline: (
    commands: ReadonlyArray<RedisLink.Command>
  ) => Effect.Effect<RedisLink.Replies, RedisError>
  /** Sends one command. */
  readonly command: (command: RedisLink.Command) => Effect.Effect<RedisLink.Reply, RedisError>
  /** Whether there is a connection just now. */
  readonly connected: Effect.Effect<boolean>
  /** Makes a further connection to the same server, for commands that wait there and would keep others waiting. */
  readonly another: Effect.Effect<Connection, RedisError, Scope.Scope>
}

/** The connection that a program shares. */
export class RedisConnection extends Context.Tag("@twinbox/redis/RedisConnection")<
  RedisConnection,
  Connection
>() {}

const defaults = { connectWithin: Duration.seconds(10), replyWithin: Duration.seconds(10) }

/** Time limit of one attempt to connect. */
const attemptWithin = Duration.seconds(3)

/** 50 ms to 2 s between attempts, with jitter, without end. */
const reconnectSchedule = Backoff.between("50 millis", "2 seconds")

interface State {
  link: RedisLink.RedisLink | undefined
  /** Why there is no connection. */
  lastError: RedisError
}

const unavailable = (server: string, detail: string) =>
  new RedisError({ reason: "Unavailable", server, detail })

/** Shows a connection in `state` until it is lost. */
const useLink = (link: RedisLink.RedisLink, state: State, opened: Deferred.Deferred<void, RedisError>) =>
  Effect.gen(function* () {
    yield* link.connect
    state.link = link
    const isFirst = yield* Deferred.succeed(opened, undefined)
    if (!isFirst) yield* Effect.logInfo(`connected to Redis at ${state.lastError.server} again`)
    state.lastError = yield* link.ended
    state.link = undefined
    yield* Effect.logWarning(`lost the connection: ${state.lastError.message}`)
  })

/**
 * One connection, from its making to its end. Not in a scope: Effect 3.22 loses an interruption that arrives
 * while the later of two finalizers runs, and this would go on for ever.
 */
const session = (options: RedisLink.Options, state: State, opened: Deferred.Deferred<void, RedisError>) =>
  Effect.acquireUseRelease(
    RedisLink.make(options),
    (link) => useLink(link, state, opened),
    (link) =>
      Effect.suspend(() => {
        state.link = undefined
        return link.close
      })
  )

/** At a start every attempt is worth a line; later the loss of the connection has been told already. */
const noteFailure = (state: State, opened: Deferred.Deferred<void, RedisError>) => (error: RedisError) =>
  Effect.gen(function* () {
    state.lastError = error
    const isStarting = !(yield* Deferred.isDone(opened))
    if (isStarting && !error.retryable) return yield* Deferred.fail(opened, error)
    const line = `waiting for Redis: ${error.message}`
    return yield* isStarting ? Effect.logWarning(line) : Effect.logDebug(line)
  })

const hasReason = (reason: RedisErrorReason) => (reply: RedisLink.Replies[number]) =>
  Either.isLeft(reply) && reply.left.reason === reason

/** One call over a connection. What hangs is given up, so that nothing piles up in it. */
const call = (link: RedisLink.RedisLink, commands: ReadonlyArray<RedisLink.Command>) =>
  Effect.gen(function* () {
    const replies = yield* Effect.tapError(link.send(commands), () => link.drop)
    const lost = replies.find(hasReason("Unavailable"))
    if (lost !== undefined && Either.isLeft(lost)) return yield* lost.left
    // After a fail-over this address may lead to the new master, this connection never will.
    if (replies.some(hasReason("ReadOnly"))) yield* link.drop
    return replies
  })

/**
 * Connects, and stays connected until the scope ends. Waits for a server that is not up yet, with a message at
 * each attempt; fails with `Unavailable` or `NotReady` when `connectWithin` is over, and at once with
 * `AuthenticationFailed` or `Refused`.
 */
export const make = (given: Options): Effect.Effect<Connection, RedisError, Scope.Scope> =>
  Effect.gen(function* () {
    const options = { ...defaults, ...given }
    const server = RedisLink.serverOf(Redacted.value(options.url))
    const state: State = { link: undefined, lastError: unavailable(server, "not connected yet") }
    const opened = yield* Deferred.make<void, RedisError>()
    yield* session({ ...options, attemptWithin }, state, opened).pipe(
      Effect.tapError(noteFailure(state, opened)),
      Effect.retry(reconnectSchedule),
      // A server that takes connections only to drop them is not asked without a pause.
      Effect.repeat(Schedule.spaced("50 millis")),
      Effect.forkScoped
    )
    yield* Deferred.await(opened).pipe(
      Effect.timeoutFail({ duration: options.connectWithin, onTimeout: () => state.lastError })
    )

    const pipeline = (commands: ReadonlyArray<RedisLink.Command>) =>
      Effect.suspend((): Effect.Effect<RedisLink.Replies, RedisError> =>
        state.link === undefined ? state.lastError : call(state.link, commands)
      )
    const command = (one: RedisLink.Command) =>
      Effect.flatMap(pipeline([one]), ([reply]) => reply ?? Either.left(unavailable(server, "no answer")))

    return RedisConnection.of({
      server,
      pipeline,
      command,
      connected: Effect.sync(() => state.link !== undefined),
      another: Effect.suspend(() => make(given))
    })
  })

export const layer = (options: Options): Layer.Layer<RedisConnection, RedisError> =>
  Layer.scoped(RedisConnection, make(options))

/** Reads `REDIS_URL`. */
export const layerConfig = Layer.scoped(
  RedisConnection,
  Effect.flatMap(Config.redacted("REDIS_URL"), (url) => make({ url }))
)
