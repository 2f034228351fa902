import { Data } from "effect"

/*
 * An API without tokens is for programs of its own machine: nobody else may reach it, and neither may pages that the
 * browser of this machine shows.
 */

const names: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "::1", "[::1]"])

/** The API would be open to others. */
export class OpenToOthers extends Data.TaggedError("OpenToOthers")<{ readonly host: string }> {
  override get message() {
    return `HOST is ${this.host} and there is no API_TOKENS: an API without tokens is served at 127.0.0.1, ::1 or localhost only.`
  }
}

/** Whether a host to listen at is this machine's own. */
export const isLoopback = (host: string): boolean => names.has(host.toLowerCase())

const nameOf = (host: string): string => host.replace(/:\d+$/, "")

/**
 * Whether a request may come from a web page. A foreign name in `Host` is one that was made to point here (DNS
 * rebinding), a foreign `Origin` is a page of another server.
 */
export const isOfPage = (host = "", origin: string | undefined): boolean =>
  !isLoopback(nameOf(host)) || (origin !== undefined && origin !== `http://${host}`)
