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

/** Runs an effect as if nobody had given headers: for fibers that work for many. */
export const detached = Effect.locally(ambient, none)
