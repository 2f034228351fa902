/** Where the handshake's `application: { name }` begins: an element of type document, with its own size in four bytes. */
const application = Buffer.from("\x03application\0")
const sizeBytes = 4
/** Its only element, of type text, with the text's size (which counts a closing zero) in four bytes. */
const name = Buffer.from("\x02name\0")

/**
 * The `appName` of a MongoDB client, by the first message of any of its connections; empty for a client without one,
 * such as another member of the replica set.
 *
 * Sources: https://github.com/mongodb/specifications/blob/master/source/mongodb-handshake/handshake.md and
 * https://bsonspec.org/spec.html.
 */
export const mongoClientName = (first: Buffer): string => {
  const found = first.indexOf(application)
  if (found < 0) return ""
  const at = found + application.length + sizeBytes
  if (!first.subarray(at, at + name.length).equals(name)) return ""
  const size = at + name.length
  const text = size + sizeBytes
  return first.toString("utf8", text, text + first.readInt32LE(size) - 1)
}
