import { Key, type RemoteWrite } from "@twinbox/outbox"
import { Either, Schema } from "effect"

/** An entry of the log as a reader takes it up. */
export interface WriteLogEntry {
  /** Its id in the stream. */
  readonly position: string
  /** How many readers have taken it up, this one included. */
  readonly deliveries: number
  /** None when the entry does not name a record of this stream. */
  readonly key: Key.Key | undefined
  /** None when the entry cannot be read. */
  readonly write: RemoteWrite.RemoteWrite | undefined
}

/** Position, deliveries, and names and values of its fields in turn. */
export const RawEntry = Schema.Tuple(Schema.String, Schema.Number, Schema.Array(Schema.String))

const Headers = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.String }))

const Common = {
  id: Schema.UUID,
  key: Key.KeySchema,
  headers: Headers,
  expectedVersion: Schema.optionalWith(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative()), {
    exact: true
  })
}

const Fields = Schema.Union(
  Schema.Struct({
    ...Common,
    operation: Schema.Literal("create", "replace", "patch"),
    body: Schema.String
  }),
  Schema.Struct({ ...Common, operation: Schema.Literal("delete") })
)

const decodeFields = Schema.decodeUnknownEither(Fields)

const pairUp = (flat: ReadonlyArray<string>): Readonly<Record<string, string>> => {
  const fields: Record<string, string> = {}
  for (let at = 0; at < flat.length; at += 2) fields[flat[at] ?? ""] = flat[at + 1] ?? ""
  return fields
}

const toWrite = (position: string, fields: typeof Fields.Type): RemoteWrite.RemoteWrite => ({
  id: fields.id,
  position,
  key: fields.key,
  operation: fields.operation,
  body: fields.operation === "delete" ? null : fields.body,
  expectedVersion: fields.expectedVersion,
  headers: fields.headers
})

/** Reads an entry; whoever can write to Redis can have written anything. */
export const decode = (stream: string, [position, deliveries, flat]: typeof RawEntry.Type): WriteLogEntry => {
  const fields = pairUp(flat)
  const isOurs = fields.key !== undefined && Key.isKey(fields.key) && Key.streamOf(fields.key) === stream
  const decoded = isOurs ? Either.getOrUndefined(decodeFields(fields)) : undefined
  return {
    position,
    deliveries,
    key: isOurs ? fields.key : undefined,
    write: decoded === undefined ? undefined : toWrite(position, decoded)
  }
}
