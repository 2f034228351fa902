import { type Kind, Problem } from "./Problem.ts"
import * as RawAnswer from "./RawAnswer.ts"
import * as RequestId from "./RequestId.ts"

const problems: Readonly<Record<string, { readonly kind: Kind; readonly detail: string }>> = {
  HPE_HEADER_OVERFLOW: { kind: "headers-too-large", detail: "Path and headers have 16 KiB at most." },
  ERR_HTTP_REQUEST_TIMEOUT: {
    kind: "slow-request",
    detail: "Headers must come within 10 seconds, the rest in 30."
  }
}

const malformed = { kind: "malformed-http", detail: "It cannot be understood as HTTP/1.1." } as const

/** The whole answer to what the HTTP parser gave up on, by its error code. */
export const answerTo = (code: string): string =>
  RawAnswer.of(new Problem(problems[code] ?? malformed), RequestId.of(undefined))
