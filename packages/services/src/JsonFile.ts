import { randomUUID } from "node:crypto"
import { readFileSync, renameSync, writeFileSync } from "node:fs"
import { Either, Option, Schema } from "effect"

/** Reads a small JSON file; none when it is missing or is not what the Schema says. */
export const readJson = <A, I>(schema: Schema.Schema<A, I>, path: string): Option.Option<A> => {
  try {
    return Either.getRight(Schema.decodeUnknownEither(Schema.parseJson(schema))(readFileSync(path, "utf8")))
  } catch {
    return Option.none()
  }
}

/** Writes a small JSON file so that readers see the old or the new content, never half of it. */
export const writeJson = <A, I>(schema: Schema.Schema<A, I>, path: string, value: A): void => {
  const draft = `${path}.${randomUUID()}`
  writeFileSync(draft, Schema.encodeSync(Schema.parseJson(schema))(value))
  renameSync(draft, path)
}
