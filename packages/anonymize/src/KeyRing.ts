import { Array as Arr, Config, type ConfigError, Effect, Either, Option } from "effect"
import { SecretError } from "./AnonymizeError.ts"
import { AnonymizeKey } from "./AnonymizeKey.ts"

const isNoRing = (newest: AnonymizeKey, earlier: ReadonlyArray<AnonymizeKey>): SecretError | undefined => {
  const keys = [newest, ...earlier]
  const isOrdered = earlier.every(({ version }) => version < newest.version)
  if (!isOrdered || Arr.dedupe(keys.map(({ version }) => version)).length < keys.length) {
    return new SecretError({ reason: "Order" })
  }
  return Arr.dedupe(keys.map(({ check }) => check)).length < keys.length
    ? new SecretError({ reason: "Same" })
    : undefined
}

const previous = Effect.gen(function* () {
  const secret = yield* Config.option(Config.redacted(Config.nonEmptyString("ANONYMIZE_PREVIOUS_SECRET")))
  const version = yield* Config.option(Config.integer("ANONYMIZE_PREVIOUS_KEY_VERSION"))
  if (Option.isNone(secret) && Option.isNone(version)) return []
  if (Option.isNone(secret) || Option.isNone(version)) return yield* new SecretError({ reason: "HalfGiven" })
  return [yield* AnonymizeKey.make({ version: version.value, secret: secret.value })]
})

/**
 * The key that twins are made with, and earlier ones that some twins are still of: while keys are rotated, twins are
 * looked up under all of them. See `TwinLookup`.
 */
export class KeyRing {
  readonly newest: AnonymizeKey
  /** The newest of them first. */
  readonly earlier: ReadonlyArray<AnonymizeKey>

  private constructor(newest: AnonymizeKey, earlier: ReadonlyArray<AnonymizeKey>) {
    this.newest = newest
    this.earlier = earlier
  }

  /** Earlier keys, in any order, have lower versions and other secrets than the newest, and than one another. */
  static make(
    newest: AnonymizeKey,
    earlier: ReadonlyArray<AnonymizeKey> = []
  ): Either.Either<KeyRing, SecretError> {
    const problem = isNoRing(newest, earlier)
    return problem === undefined
      ? Either.right(
          new KeyRing(
            newest,
            earlier.toSorted((left, right) => right.version - left.version)
          )
        )
      : Either.left(problem)
  }

  /**
   * The key of `AnonymizeKey.config`, and the one of `ANONYMIZE_PREVIOUS_SECRET` and `ANONYMIZE_PREVIOUS_KEY_VERSION`:
   * both or none.
   */
  static readonly config: Effect.Effect<KeyRing, SecretError | ConfigError.ConfigError> = Effect.gen(
    function* () {
      return yield* KeyRing.make(yield* AnonymizeKey.config, yield* previous)
    }
  )

  /** All keys, the newest first. */
  get keys(): ReadonlyArray<AnonymizeKey> {
    return [this.newest, ...this.earlier]
  }
}
