import { STATUS_CODES } from "node:http"
import { contentType, detailsOf, headersOf, type Problem } from "./Problem.ts"
import * as RequestId from "./RequestId.ts"

/** A whole answer of HTTP/1.1, for where nobody else answers. The connection ends with it. */
export const of = (problem: Problem, requestId: string): string => {
  const body = JSON.stringify(detailsOf(problem, requestId))
  const headers = {
    ...headersOf(problem),
    "content-type": contentType,
    "content-length": String(Buffer.byteLength(body)),
    [RequestId.header]: requestId,
    connection: "close"
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  return [`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ""}`, ...lines, "", body].join("\r\n")
}
