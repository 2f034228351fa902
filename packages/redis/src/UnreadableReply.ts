import { RedisError } from "./RedisError.ts"

/** What is stored was not written by this library. */
export const unreadable = (server: string): RedisError =>
  new RedisError({ reason: "Refused", server, detail: "what is stored cannot be read" })
