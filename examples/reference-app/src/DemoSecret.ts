import { randomUUID } from "node:crypto"
import { AnonymizeKey } from "@twinbox/anonymize"
import { FileSystem } from "@effect/platform/FileSystem"
import { Path } from "@effect/platform/Path"
import type { PlatformError } from "@effect/platform/Error"
import { Effect, Redacted } from "effect"

const fileName = "anonymize-secret"

/** Only the owner may read it: who has the secret can test guesses against every pseudonym. */
const mode = 0o600

/**
 * The secret of a data folder; made at its first use. It belongs to the data: without it no pseudonym would
 * ever match an old one.
 */
export const ofFolder = (
  folder: string
): Effect.Effect<Redacted.Redacted, PlatformError, FileSystem | Path> =>
  Effect.gen(function* () {
    const files = yield* FileSystem
    const path = (yield* Path).join(folder, fileName)
    if (!(yield* files.exists(path))) yield* write(path, yield* AnonymizeKey.generate)
    return Redacted.make((yield* files.readFileString(path)).trim())
  })

/** A link shows the whole file at once, and of several processes only the first can make it. */
const write = (path: string, secret: Redacted.Redacted) =>
  Effect.gen(function* () {
    const files = yield* FileSystem
    const paths = yield* Path
    yield* files.makeDirectory(paths.dirname(path), { recursive: true })
    // A name of its own: one process can ask several times at once.
    const draft = `${path}.${randomUUID()}`
    yield* files.writeFileString(draft, `${Redacted.value(secret)}\n`, { mode })
    yield* files.link(draft, path).pipe(
      Effect.catchIf(
        (error) => error._tag === "SystemError" && error.reason === "AlreadyExists",
        () => Effect.void
      ),
      Effect.ensuring(Effect.ignore(files.remove(draft)))
    )
  })
