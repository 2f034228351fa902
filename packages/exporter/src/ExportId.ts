/** A new id: a random UUID (RFC 9562 version 4), which nobody can guess. */
export const make = (): string => globalThis.crypto.randomUUID()

const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** Whether a text can be an id. To be asked of whatever comes from outside: an id is the name of a key. */
export const isExportId = (text: string): boolean => pattern.test(text)
