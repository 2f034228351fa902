import { MongoError } from "@twinbox/mongodb"
import { Effect } from "effect"

/** One call of the driver, outside transactions. */
export const attempt = <A>(call: () => Promise<A>): Effect.Effect<A, MongoError.MongoError> =>
  Effect.tryPromise({ try: call, catch: MongoError.fromDriver })
