import { randomUUID } from "node:crypto"

/** Name of the header in requests and answers. */
export const header = "x-request-id"

/** What fits into a log line, a header and a URN as it is. */
const pattern = /^[A-Za-z0-9._-]{1,64}$/

/** The id that the client gave its request, or a new one. */
export const of = (given: string | undefined): string =>
  given !== undefined && pattern.test(given) ? given : randomUUID()
