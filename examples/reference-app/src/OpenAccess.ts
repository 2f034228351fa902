import { Effect, Layer, Option } from "effect"
import * as HttpListener from "./HttpListener.ts"
import * as Loopback from "./Loopback.ts"
import { Settings } from "./Settings.ts"

/** What is open must not be listening for others, not even for a moment. */
const check = Effect.gen(function* () {
  const { apiTokens, http } = yield* Settings
  if (Option.isSome(apiTokens)) return
  if (!Loopback.isLoopback(http.host)) return yield* new Loopback.OpenToOthers({ host: http.host })
  yield* Effect.logWarning("there is no API_TOKENS: the API is open to everybody on this machine")
})

/** The listener of this process, which all of its roles share. */
export const listener = Layer.provide(HttpListener.layer, Layer.effectDiscard(check))
