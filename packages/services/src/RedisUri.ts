import { type Duration, Effect } from "effect"
import { awaitUri } from "./AwaitUri.ts"
import { redisCommands, type RedisFailure } from "./RedisConnection.ts"
import type { Report } from "./Report.ts"
import { hostsOf } from "./ServerUri.ts"
import { ServiceError, type ServiceErrorReason } from "./ServiceError.ts"

const failed = (reason: ServiceErrorReason, message: string, retryable: boolean, cause?: RedisFailure) =>
  new ServiceError({
    service: "Redis",
    reason,
    message,
    retryable,
    ...(cause === undefined ? {} : { cause })
  })

const refusals = ["NOAUTH", "WRONGPASS", "NOPERM"]

/** Redis 5 and older word a refusal as a plain ERR, as does 6 when it has no password at all. */
const isRefusal = (failure: RedisFailure): boolean =>
  refusals.includes(failure.code) || /invalid password|AUTH/.test(failure.message)

/** Nobody is there, or not yet ready. */
const isSilent = (failure: RedisFailure): boolean => ["CONNECTION", "LOADING"].includes(failure.code)

const describe =
  (host: string) =>
  (failure: RedisFailure): ServiceError => {
    if (isSilent(failure)) {
      const advice = "start it, correct REDIS_URL, or unset it to have one started for you"
      return failed("Unreachable", `No Redis answers at ${host}: ${advice}.`, true, failure)
    }
    if (isRefusal(failure)) {
      const advice = "put the right ones into it (redis://user:password@host:port)"
      const message = `The Redis at ${host} refuses the credentials of REDIS_URL, or asks for some: ${advice}.`
      return failed("AuthenticationFailed", message, false, failure)
    }
    return failed(
      "InvalidUri",
      `The Redis at ${host} cannot serve REDIS_URL: ${failure.message}.`,
      false,
      failure
    )
  }

const isRedisUrl = (url: string): boolean => URL.canParse(url) && /^rediss?:$/.test(new URL(url).protocol)

const askVersion = (url: string, host: string): Effect.Effect<string, ServiceError> =>
  redisCommands(url, [["PING"], ["INFO", "server"]]).pipe(
    Effect.mapError(describe(host)),
    Effect.map(([, info]) => /redis_version:(\S+)/.exec(String(info))?.[1] ?? "unknown")
  )

/** Waits until the Redis of a URL answers to its credentials; gives its version. */
export const checkRedisUrl = (
  url: string,
  options: { readonly limit: Duration.DurationInput; readonly report: Report }
): Effect.Effect<string, ServiceError> => {
  if (!isRedisUrl(url)) {
    const message = "REDIS_URL is not a Redis URL: it looks like redis://user:password@host:port/database."
    return Effect.fail(failed("InvalidUri", message, false))
  }
  const host = hostsOf(url)
  const waiting = `Redis: waiting for Redis at ${host} ...`
  return awaitUri(askVersion(url, host), { ...options, waiting })
}
