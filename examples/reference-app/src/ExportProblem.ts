import type { ExportError } from "@twinbox/exporter"
import { lacks } from "./Access.ts"
import { invalid, Problem } from "./Problem.ts"

/** Seconds after which an export of the same user may have ended. */
const retryAfterSeconds = "5"

export const notFound = new Problem({
  kind: "not-found",
  detail: "There is no such export, or no longer."
})

export const absent = new Problem({
  kind: "unavailable",
  detail: "This process runs without Redis: there are no exports."
})

/** What a client is told. Details of the exporter are fixed words and numbers. */
export const of = (error: ExportError): Problem => {
  const { bytes, detail = "", state } = error
  switch (error.reason) {
    case "Forbidden":
      return lacks(detail)
    case "NotFound":
      return notFound
    case "InvalidOptions":
      return invalid([{ path: "", problem: detail }])
    case "TooManyExports":
      return new Problem({
        kind: "too-many-exports",
        detail: "Stop one, or wait until one has ended.",
        headers: { "retry-after": retryAfterSeconds }
      })
    case "AlreadyEnded":
      return new Problem({
        kind: "export-ended",
        detail: "It stays as it is; see state.",
        ...(state === undefined ? {} : { state })
      })
    case "NotLive":
      return new Problem({
        kind: "export-not-live",
        detail: "It comes to its end by itself; DELETE stops it."
      })
    case "RangeNotSatisfiable":
      return rangeNotSatisfiable(bytes ?? 0)
    case "RedisFull":
      return new Problem({ kind: "unavailable", detail: "There is no room for exports just now." })
    case "Unavailable":
      return new Problem({ kind: "unavailable", detail: "Redis does not answer just now: come again later." })
    default:
      return new Problem({
        kind: "internal",
        detail: "The log has more under the id of this request.",
        cause: { message: error.message }
      })
  }
}

/** https://www.rfc-editor.org/rfc/rfc9110#section-15.5.17 */
export const rangeNotSatisfiable = (bytes: number): Problem =>
  new Problem({
    kind: "range-not-satisfiable",
    detail: "Content-Range tells how many bytes there are.",
    headers: { "content-range": `bytes */${bytes}` }
  })
