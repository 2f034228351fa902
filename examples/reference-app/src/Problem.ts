import { HttpApiSchema } from "@effect/platform"
import { Data, Schema } from "effect"
import type { FieldProblem } from "./FieldProblem.ts"

/*
 * Errors as clients see them: https://www.rfc-editor.org/rfc/rfc9457
 */

export const contentType = "application/problem+json"

const kinds = {
  "invalid-request": { status: 400, title: "The request is not valid" },
  "invalid-json": { status: 400, title: "The body is not JSON" },
  unauthorized: { status: 401, title: "A valid token is needed" },
  forbidden: { status: 403, title: "This is not allowed" },
  "foreign-page": { status: 403, title: "The open API serves programs of its own machine only" },
  "not-found": { status: 404, title: "There is nothing of this id" },
  "no-such-route": { status: 404, title: "There is nothing at this path" },
  "method-not-allowed": { status: 405, title: "The path does not have this method" },
  "export-ended": { status: 409, title: "The export has ended already" },
  "export-not-live": { status: 409, title: "The export is not a live one" },
  "precondition-failed": { status: 412, title: "It has another version than the request expects" },
  "body-too-large": { status: 413, title: "The body is too large" },
  "unsupported-media-type": { status: 415, title: "The body has a media type that is not understood" },
  "range-not-satisfiable": { status: 416, title: "There are no bytes in this range" },
  "key-reused": { status: 422, title: "The idempotency key was used with another body" },
  "malformed-http": { status: 400, title: "The request is not HTTP" },
  "slow-request": { status: 408, title: "The request did not come in time" },
  "too-many-exports": { status: 429, title: "Too many exports are running" },
  "headers-too-large": { status: 431, title: "The headers are too large" },
  internal: { status: 500, title: "The program has a fault" },
  unavailable: { status: 503, title: "It cannot be done just now" },
  "outcome-unknown": { status: 503, title: "It is not known whether it was done" },
  busy: { status: 503, title: "Too many requests are under way" },
  "timed-out": { status: 503, title: "It took too long" }
} as const satisfies Readonly<Record<string, { readonly status: number; readonly title: string }>>

export type Kind = keyof typeof kinds

/** Seconds after which a client may come again. */
const retryAfterSeconds = 1

/** Why a request is not answered as it wished. The detail is told to the client: fixed words, never a value. */
export class Problem extends Data.TaggedError("Problem")<{
  readonly kind: Kind
  readonly detail: string
  readonly errors?: ReadonlyArray<FieldProblem>
  readonly headers?: Readonly<Record<string, string>>
  /** How an export has ended. */
  readonly state?: string
  /** What is behind it, for the log. */
  readonly cause?: { readonly message: string }
}> {
  get status(): number {
    return kinds[this.kind].status
  }
  override get message() {
    return `${kinds[this.kind].title}: ${this.detail}`
  }
}

export const invalid = (errors: ReadonlyArray<FieldProblem>): Problem =>
  new Problem({ kind: "invalid-request", detail: "See errors for what is wrong, and where.", errors })

/** To web pages, where the API is open. */
export const fromPage = new Problem({
  kind: "foreign-page",
  detail:
    "Host must be a name of this machine, and Origin absent or the API itself. With API_TOKENS others may call."
})

/** The body of an answer to a request that failed. */
export const Details = Schema.Struct({
  type: Schema.String.annotations({ examples: ["urn:twinbox:problem:invalid-request"] }),
  title: Schema.String,
  status: Schema.Int,
  detail: Schema.String,
  instance: Schema.String,
  requestId: Schema.String,
  errors: Schema.optional(Schema.Array(Schema.Struct({ path: Schema.String, problem: Schema.String }))),
  state: Schema.optional(Schema.String).annotations({ description: "How an export has ended" })
}).annotations({
  identifier: "Problem",
  description: "Why a request failed (RFC 9457); it quotes no values."
})

/** Fills the body. The id of the request names the occurrence: paths and queries may hold what is not to be repeated. */
export const detailsOf = (problem: Problem, requestId: string): typeof Details.Type => ({
  type: `urn:twinbox:problem:${problem.kind}`,
  title: kinds[problem.kind].title,
  status: problem.status,
  detail: problem.detail,
  instance: `urn:twinbox:request:${requestId}`,
  requestId,
  ...(problem.errors === undefined ? {} : { errors: problem.errors }),
  ...(problem.state === undefined ? {} : { state: problem.state })
})

export const headersOf = (problem: Problem): Readonly<Record<string, string>> => ({
  "cache-control": "no-store",
  ...(problem.status === 503 ? { "retry-after": String(retryAfterSeconds) } : {}),
  ...problem.headers
})

/** Documents that an endpoint may answer with a problem of this status. It encodes nothing: `Answers` does. */
export const documented = (status: number, description: string): Schema.Schema<Problem> =>
  HttpApiSchema.withEncoding(
    (Details as unknown as Schema.Schema<Problem>).annotations(
      HttpApiSchema.annotations({ status, description })
    ),
    { kind: "Json", contentType }
  )

export const forbidden = documented(
  403,
  "The token does not have the permission, or a web page calls an open API"
)
export const faulty = documented(500, "The program has a fault; its log has more under the id of the request")
export const unavailable = documented(
  503,
  "It cannot be done just now; come again after `Retry-After` seconds"
)
