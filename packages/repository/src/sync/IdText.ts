import { BSON } from "mongodb"

const prefix = "ejson:"

/** Characters of a text that is shown, at most. */
const maxLength = 200

/** Tells ids apart, of whatever type they are: those that are equal in MongoDB have the same. */
export const keyOf = (id: unknown): string =>
  typeof id === "string" ? id : `\0${BSON.EJSON.stringify(id, { relaxed: false })}`

/** An id as reports show it: text as it is, anything else as extended JSON. */
export const of = (id: unknown): string => {
  const text = typeof id === "string" ? id : prefix + BSON.EJSON.stringify(id, { relaxed: false })
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text
}
