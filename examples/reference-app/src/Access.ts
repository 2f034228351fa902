import { HttpApiMiddleware, HttpApiSecurity, HttpServerRequest, OpenApi } from "@effect/platform"
import { Context, Effect, Layer, Option } from "effect"
import * as ApiTokens from "./ApiTokens.ts"
import * as Permission from "./Permission.ts"
import { documented, Problem } from "./Problem.ts"
import { Settings } from "./Settings.ts"

/** Who makes the request. */
export class Caller extends Context.Tag("@twinbox/reference-app/Caller")<Caller, ApiTokens.Principal>() {}

const bearer = HttpApiSecurity.annotate(
  HttpApiSecurity.bearer,
  OpenApi.Description,
  "A token of API_TOKENS. Without API_TOKENS the API is open to all programs of its machine and needs none."
)

/**
 * Lets callers in by their bearer token: https://www.rfc-editor.org/rfc/rfc6750. Without any tokens the API is open,
 * and whoever reaches it may do everything.
 */
export class Access extends HttpApiMiddleware.Tag<Access>()("@twinbox/reference-app/Access", {
  provides: Caller,
  failure: documented(401, "There is no token, or it is not known"),
  security: { bearer }
}) {}

const anybody: ApiTokens.Principal = { user: "anybody", permissions: Permission.all }

const credentials = /^Bearer +([^\s,]+)$/i

const challenge = (parameters: string) => ({ "www-authenticate": `Bearer realm="twinbox"${parameters}` })

const noToken = new Problem({
  kind: "unauthorized",
  detail: "Send a token of API_TOKENS in the header `Authorization: Bearer <token>`.",
  headers: challenge("")
})

const unknownToken = new Problem({
  kind: "unauthorized",
  detail: "The token is not known.",
  headers: challenge(', error="invalid_token"')
})

/** Tokens are compared by their digests, so the time that it takes tells nothing about them. */
const identify = (
  tokens: ApiTokens.ApiTokens,
  authorization: string | undefined
): Effect.Effect<ApiTokens.Principal, Problem> => {
  const [, token] = credentials.exec(authorization ?? "") ?? []
  if (token === undefined) return Effect.fail(noToken)
  const principal = tokens.get(ApiTokens.digestOf(token))
  return principal === undefined ? Effect.fail(unknownToken) : Effect.succeed(principal)
}

/** Who shows this header `Authorization`; without any tokens, anybody. */
export const callerOf = (
  apiTokens: Option.Option<ApiTokens.ApiTokens>,
  authorization: string | undefined
): Effect.Effect<ApiTokens.Principal, Problem> =>
  Option.match(apiTokens, {
    onNone: () => Effect.succeed(anybody),
    onSome: (tokens) => identify(tokens, authorization)
  })

export const layer: Layer.Layer<Access, never, Settings> = Layer.effect(
  Access,
  Effect.map(Settings, ({ apiTokens }) =>
    Access.of({
      // Not the token that the platform has found: it takes any seven characters for the scheme.
      bearer: () =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
          callerOf(apiTokens, headers["authorization"])
        )
    })
  )
)

/** Why a caller without a permission is turned away. */
export const lacks = (permission: string): Problem =>
  new Problem({
    kind: "forbidden",
    detail: `The token does not have the permission ${permission}.`,
    headers: challenge(`, error="insufficient_scope", scope="${permission}"`)
  })

/** Fails unless the caller has the permission. */
export const need = (permission: Permission.Permission): Effect.Effect<void, Problem, Caller> =>
  Effect.flatMap(Caller, ({ permissions }) => (permissions.has(permission) ? Effect.void : lacks(permission)))
