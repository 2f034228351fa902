import { createHash } from "node:crypto"
import { Either, ParseResult, Schema } from "effect"
import { Permission } from "./Permission.ts"

/** Who calls the API, and what that caller may do. */
export interface Principal {
  readonly user: string
  readonly permissions: ReadonlySet<Permission>
}

/** Callers by the digest of their token: the tokens themselves are not kept. */
export type ApiTokens = ReadonlyMap<string, Principal>

/** The characters of https://www.rfc-editor.org/rfc/rfc6750#section-2.1 */
const Token = Schema.String.pipe(Schema.pattern(/^[A-Za-z0-9._~+/-]{16,512}=*$/))

const Tokens = Schema.Record({
  key: Token,
  value: Schema.Struct({
    user: Schema.String.pipe(Schema.pattern(/^[A-Za-z0-9._@-]{1,64}$/)),
    permissions: Schema.Array(Permission)
  })
})

/** Callers at most. */
const maxTokens = 1_000

const decode = ParseResult.decodeUnknownEither(Schema.parseJson(Tokens), { onExcessProperty: "error" })

export const expected =
  `JSON such as {"<token>": {"user": "ann", "permissions": ["customers:read"]}}, for ${maxTokens} tokens at most: ` +
  `a token has 16 to 512 letters, digits or ._~+/-, a user 1 to 64 letters, digits or ._@-, ` +
  `and the permissions are ${Permission.literals.join(", ")}`

export const digestOf = (token: string): string => createHash("sha256").update(token).digest("hex")

/** Reads the tokens; none when they are not as expected. What is wrong is not told: it would quote them. */
export const parse = (text: string): ApiTokens | undefined => {
  const entries = Object.entries(Either.getOrElse(decode(text), () => ({})))
  if (entries.length === 0 || entries.length > maxTokens) return undefined
  return new Map(
    entries.map(([token, { permissions, user }]) => [
      digestOf(token),
      { user, permissions: new Set(permissions) }
    ])
  )
}
