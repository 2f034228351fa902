import { ErrorReply } from "@redis/client"
import { Data } from "effect"

/**
 * Why Redis could not do what it was asked:
 * - `Unavailable`: no connection, or no answer in time; a command that was under way may have been applied.
 * - `NotReady`: it answers, but cannot serve just now: it is loading its data, has lost its master, or cannot write to its disk.
 * - `ReadOnly`: it is a replica; the connection is made anew, since the address may lead to the new master by then.
 * - `OutOfMemory`: it is at its `maxmemory`.
 * - `AuthenticationFailed`: it refused user or password, or does not let this user do it.
 * - `WrongType`: the key holds another type of value.
 * - `Refused`: anything else; `detail` is the first word of its answer.
 */
export type RedisErrorReason =
  "Unavailable" | "AuthenticationFailed" | "NotReady" | "WrongType" | "OutOfMemory" | "ReadOnly" | "Refused"

const retryableReasons: ReadonlySet<RedisErrorReason> = new Set([
  "Unavailable",
  "NotReady",
  "OutOfMemory",
  "ReadOnly"
])

const sentences: Readonly<Record<RedisErrorReason, string>> = {
  Unavailable: "does not answer",
  AuthenticationFailed: "refused the credentials: check user, password and permissions in REDIS_URL",
  NotReady: "cannot serve just now",
  WrongType: "holds another type of value under this key",
  OutOfMemory: "is out of memory: raise its maxmemory",
  ReadOnly: "is a read-only replica",
  Refused: "refused the command"
}

/**
 * A command or a connection failed. `retryable` tells whether the same call may succeed later.
 *
 * There is no `cause`: the texts of the driver and of the server can quote credentials and values.
 */
export class RedisError extends Data.TaggedError("RedisError")<{
  readonly reason: RedisErrorReason
  /** Host and port, without credentials. */
  readonly server: string
  /** A code such as `ECONNREFUSED` or `NOSCRIPT`, or a few fixed words; never a value. */
  readonly detail?: string
}> {
  get retryable(): boolean {
    return retryableReasons.has(this.reason)
  }
  override get message() {
    const detail = this.detail === undefined ? "" : ` (${this.detail})`
    return `Redis at ${this.server} ${sentences[this.reason]}${detail}`
  }
}

/** Error codes: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors and server.c of 6.2. */
const reasonsByCode: ReadonlyMap<string, RedisErrorReason> = new Map([
  ["WRONGTYPE", "WrongType"],
  ["OOM", "OutOfMemory"],
  ["READONLY", "ReadOnly"],
  ["NOAUTH", "AuthenticationFailed"],
  ["WRONGPASS", "AuthenticationFailed"],
  ["NOPERM", "AuthenticationFailed"],
  ["LOADING", "NotReady"],
  ["MASTERDOWN", "NotReady"],
  ["CLUSTERDOWN", "NotReady"],
  ["TRYAGAIN", "NotReady"],
  ["BUSY", "NotReady"],
  ["MISCONF", "NotReady"],
  ["NOREPLICAS", "NotReady"],
  // A cluster, where a single server was expected: nothing about the command itself is wrong.
  ["MOVED", "NotReady"],
  ["ASK", "NotReady"],
  ["CROSSSLOT", "NotReady"]
])

/** Redis 6.2 puts the place in a script before some codes: `@user_script: 12: -READONLY You can't write`. */
const codeOf = (text: string): string =>
  /^(?:@user_script: ?\d+: -?)?([A-Z][A-Z0-9_]*)/.exec(text)?.[1] ?? "ERR"

/** Answers that say only `ERR` are told apart by their words. */
const reasonOf = (text: string): RedisErrorReason => {
  const known = reasonsByCode.get(codeOf(text))
  if (known !== undefined) return known
  if (/invalid password|AUTH <password>|invalid username-password/i.test(text)) return "AuthenticationFailed"
  return /max number of clients/i.test(text) ? "Unavailable" : "Refused"
}

/** Codes of sockets and name look-ups, such as `ECONNREFUSED`. */
const systemCodeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined

/** Turns what the driver threw into a typed error. */
export const fromDriver = (error: unknown, server: string): RedisError => {
  if (error instanceof ErrorReply) {
    return new RedisError({ reason: reasonOf(error.message), server, detail: codeOf(error.message) })
  }
  return new RedisError({
    reason: "Unavailable",
    server,
    detail: systemCodeOf(error) ?? "the connection was lost"
  })
}
