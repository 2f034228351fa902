/**
 * What customers in Redis can be looked up by. All who write them there need the same: the API, the mirror of
 * originals and the reader of the write log.
 */
export const customerIndexes = (document: unknown): Readonly<Record<string, string>> =>
  typeof document === "object" &&
  document !== null &&
  "email" in document &&
  typeof document.email === "string"
    ? { email: document.email }
    : {}
