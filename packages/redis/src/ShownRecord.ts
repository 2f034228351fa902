import { Effect, Option, Schema } from "effect"
import type { RedisError } from "./RedisError.ts"
import { unreadable } from "./UnreadableReply.ts"
import type { Reply } from "./RedisConnection.ts"

/** A record as Redis shows it. */
export interface Shown {
  readonly id: string
  /** Last seen from MongoDB; 0: MongoDB has none yet. */
  readonly version: number
  /** Position of the newest write that MongoDB has not decided on. */
  readonly pending: string | undefined
  /** Parsed, without `_id` and `version`. */
  readonly document: unknown
}

/** `version`, `json` and `pending` of a hash. */
const Fields = Schema.Tuple(
  Schema.NullOr(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative())),
  Schema.NullOr(Schema.parseJson()),
  Schema.NullOr(Schema.String)
)

const decodeFields = Schema.decodeUnknown(Fields)

const isObject = (json: unknown): json is Readonly<Record<string, unknown>> =>
  typeof json === "object" && json !== null && !Array.isArray(json)

const withoutPlace = (json: unknown): unknown => {
  if (!isObject(json)) return json
  const { _id, version, ...document } = json
  return document
}

/** Reads the answer to HMGET `version json pending`; none: nothing shows under this id. */
export const fromFields = (
  server: string,
  id: string,
  reply: Reply
): Effect.Effect<Option.Option<Shown>, RedisError> =>
  decodeFields(reply).pipe(
    Effect.mapError(() => unreadable(server)),
    Effect.map(([version, json, pending]) =>
      json === null
        ? Option.none()
        : Option.some({
            id,
            version: version ?? 0,
            pending: pending ?? undefined,
            document: withoutPlace(json)
          })
    )
  )
