import { Key } from "@twinbox/outbox"
import type { DocumentIssue } from "./RepositoryError.ts"

/** What is wrong with the `_id` of a document whose messages have keys of this stream; undefined: nothing. */
export const issueOf = (stream: string, id: unknown): DocumentIssue | undefined =>
  typeof id === "string" && Key.isKey(Key.make(stream, id))
    ? undefined
    : { path: "_id", problem: "is not an id: text of 1 to 512 characters without control characters" }
