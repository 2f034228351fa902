import { Effect } from "effect"
import * as MongoError from "./MongoError.ts"

/** One call of the driver, outside transactions, with its errors as typed ones. */
export const attempt = <A>(call: () => Promise<A>): Effect.Effect<A, MongoError.MongoError> =>
  Effect.tryPromise({ try: call, catch: MongoError.fromDriver })
