import { Effect, FiberRef } from "effect"
import type { Headers } from "./Message.ts"

const none: Headers = {}

const ambient = FiberRef.unsafeMake(none)

/** Headers that messages get which are appended by the fiber that runs this, beside those of their own. */
export const current: Effect.Effect<Headers> = FiberRef.get(ambient)

/** Gives headers to all messages that an effect appends, unless a message has one of that name itself. */
export const locally =
  (headers: Headers) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.locallyWith(effect, ambient, (around) => ({ ...around, ...headers }))

/** Headers that tell what a message belongs to, unless somebody says otherwise. In the clear: never personal data. */
export const carriedByDefault: ReadonlyArray<string> = ["request_id", "session_id"]

/** Those of a message's headers that are carried on: as annotations of log lines about it. */
export const carried = (headers: Headers, names: ReadonlyArray<string>): Headers =>
  Object.fromEntries(
    names.flatMap((name) => {
      const value = headers[name]
      return value === undefined ? [] : [[name, value]]
    })
  )

/** Runs an effect as if nobody had given headers: for fibers that work for many. */
export const detached = Effect.locally(ambient, none)
