import type { IncomingMessage } from "node:http"
import { Effect, Option, Schema } from "effect"
import * as Access from "./Access.ts"
import type { ApiTokens } from "./ApiTokens.ts"
import * as Loopback from "./Loopback.ts"
import { fromPage, invalid, Problem } from "./Problem.ts"
import { SessionId } from "./SessionEvent.ts"
import type { IngestSettings } from "./Settings.ts"

/*
 * Who may open a WebSocket.
 */

/** The subprotocol of those who cannot set headers: browsers send `Sec-WebSocket-Protocol: bearer, <token>`. */
export const protocol = "bearer"

const offered = new RegExp(`^\\s*${protocol}\\s*,\\s*([^\\s,]+)\\s*$`)

const authorizationOf = ({ headers }: IncomingMessage): string | undefined => {
  const [, token] = offered.exec(headers["sec-websocket-protocol"] ?? "") ?? []
  return headers.authorization ?? (token === undefined ? undefined : `Bearer ${token}`)
}

const isSessionId = Schema.is(SessionId)

const noSession = invalid([
  { path: "session_id", problem: "must be given once, 1 to 128 of A-Z a-z 0-9 . _ : -" }
])

const sessionIdOf = ({ url = "" }: IncomingMessage): Effect.Effect<string, Problem> => {
  const [, query = ""] = url.split("?", 2)
  const [sessionId, ...others] = new URLSearchParams(query).getAll("session_id")
  return sessionId !== undefined && others.length === 0 && isSessionId(sessionId)
    ? Effect.succeed(sessionId)
    : noSession
}

/** The session that a request wants to open a WebSocket of, if it may. */
export const admit = (
  request: IncomingMessage,
  apiTokens: Option.Option<ApiTokens>
): Effect.Effect<string, Problem> =>
  Effect.gen(function* () {
    const { host, origin } = request.headers
    if (Option.isNone(apiTokens) && Loopback.isOfPage(host, origin)) return yield* fromPage
    const caller = yield* Access.callerOf(apiTokens, authorizationOf(request))
    yield* Effect.provideService(Access.need("customers:write"), Access.Caller, caller)
    return yield* sessionIdOf(request)
  })

const full = new Problem({ kind: "busy", detail: "As many WebSockets are open as may be: come again later." })

const fullForAddress = new Problem({
  kind: "busy",
  detail: "Your address has as many WebSockets open as it may: close some first."
})

/** Counts sockets, and turns away those that are too many. */
export class Places {
  readonly #settings: Pick<IngestSettings, "connections" | "connectionsPerAddress">
  readonly #byAddress = new Map<string, number>()
  #taken = 0

  constructor(settings: Pick<IngestSettings, "connections" | "connectionsPerAddress">) {
    this.#settings = settings
  }

  get taken(): number {
    return this.#taken
  }

  /** Why an address can have no more; undefined if it can. */
  refusal(address: string): Problem | undefined {
    if (this.#taken >= this.#settings.connections) return full
    const taken = this.#byAddress.get(address) ?? 0
    return taken >= this.#settings.connectionsPerAddress ? fullForAddress : undefined
  }

  enter(address: string): void {
    this.#taken += 1
    this.#byAddress.set(address, (this.#byAddress.get(address) ?? 0) + 1)
  }

  leave(address: string): void {
    this.#taken -= 1
    const left = (this.#byAddress.get(address) ?? 0) - 1
    if (left > 0) this.#byAddress.set(address, left)
    else this.#byAddress.delete(address)
  }
}
