import { connect as connectPlain, type Socket } from "node:net"
import { connect as connectTls } from "node:tls"
import { Data, type Duration, Effect } from "effect"
import { encodeCommand, isErrorReply, parseReply, type RedisReply } from "./RedisReply.ts"

/** Redis did not answer, or answered with an error; then `code` is its first word, such as `NOAUTH`. */
export class RedisFailure extends Data.TaggedError("RedisFailure")<{
  readonly code: string
  readonly message: string
}> {}

/** How long one exchange may take. */
const exchangeTimeout: Duration.DurationInput = "2 seconds"

const defaultPort = 6379

const open = (url: URL): Socket => {
  const target = { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port) || defaultPort }
  return url.protocol === "rediss:"
    ? connectTls({ ...target, servername: target.host })
    : connectPlain(target)
}

/** The commands that lead to the user and the database a URL names. */
const preamble = (url: URL): ReadonlyArray<ReadonlyArray<string>> => {
  const user = decodeURIComponent(url.username)
  const password = decodeURIComponent(url.password)
  const database = url.pathname.slice(1)
  return [
    ...(password === "" ? [] : [["AUTH", ...(user === "" ? [] : [user]), password]]),
    ...(database === "" ? [] : [["SELECT", database]])
  ]
}

const parseReplies = (bytes: Buffer): ReadonlyArray<RedisReply> => {
  const replies: Array<RedisReply> = []
  let at = 0
  for (let parsed = parseReply(bytes, at); parsed !== undefined; parsed = parseReply(bytes, at)) {
    replies.push(parsed.reply)
    at = parsed.next
  }
  return replies
}

const failureOf = (error: string): RedisFailure =>
  new RedisFailure({ code: error.split(" ")[0] ?? "ERR", message: error })

const exchange = (
  url: URL,
  commands: ReadonlyArray<ReadonlyArray<string>>
): Effect.Effect<ReadonlyArray<RedisReply>, RedisFailure> =>
  Effect.async((resume) => {
    const socket = open(url)
    const chunks: Array<Buffer> = []
    const fail = (message: string) => resume(Effect.fail(new RedisFailure({ code: "CONNECTION", message })))
    socket.on("error", (error) => fail(error.message || "the connection was refused"))
    socket.on("close", () => fail("the connection was closed"))
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk)
      const replies = parseReplies(Buffer.concat(chunks))
      const error = replies.find(isErrorReply)
      if (error !== undefined) resume(Effect.fail(failureOf(error.error)))
      else if (replies.length === commands.length) resume(Effect.succeed(replies))
      else return
      socket.destroy()
    })
    socket.write(commands.map(encodeCommand).join(""))
    return Effect.sync(() => socket.destroy())
  })

/**
 * Sends commands to a Redis over a connection of their own and gives their replies: enough to see whether a
 * server is well and to tidy up after tests; no client for applications. The first error reply fails it.
 */
export const redisCommands = (
  url: string,
  commands: ReadonlyArray<ReadonlyArray<string>>
): Effect.Effect<ReadonlyArray<RedisReply>, RedisFailure> =>
  Effect.suspend(() => {
    const target = new URL(url)
    const before = preamble(target)
    return Effect.map(exchange(target, [...before, ...commands]), (replies) => replies.slice(before.length))
  }).pipe(
    Effect.timeoutFail({
      duration: exchangeTimeout,
      onTimeout: () => new RedisFailure({ code: "CONNECTION", message: "no answer in time" })
    })
  )
