import { randomBytes } from "node:crypto"
import { Config, type ConfigError, Effect, Either, Option, Redacted } from "effect"
import { SecretError } from "./AnonymizeError.ts"
import { HmacSha256 } from "./HmacSha256.ts"
import * as SecretText from "./SecretText.ts"

/** What a key is made of. */
export interface AnonymizeKeyOptions {
  /** A whole number from 1 to 2147483647 that names this secret; a new secret gets a new version. */
  readonly version: number
  /** At least 128 bits as hexadecimal (32 characters or more), base64 or base64url (22 or more). */
  readonly secret: Redacted.Redacted
}

const maxVersion = 2 ** 31 - 1
const checkLabel = "twinbox/key-check/v1"
const checkBytes = 16

const isVersion = (version: number): boolean =>
  Number.isSafeInteger(version) && version >= 1 && version <= maxVersion

/**
 * A secret and its version: what pseudonyms are made with. Who has it can tell whether a pseudonym stands for a
 * given value. No way of printing or serialising a key shows the secret.
 */
export class AnonymizeKey {
  /** The version of the secret; stored beside each twin. It is no input of the pseudonyms themselves. */
  readonly version: number
  /**
   * 32 hexadecimal characters: the first 16 bytes of HMAC-SHA-256(secret, "twinbox/key-check/v1"). Stored once per
   * version, it shows that a second secret has come under the same version, and reveals nothing of the secret.
   */
  readonly check: string
  /** Computes digests under the secret. */
  readonly hmac: HmacSha256

  private constructor(version: number, secret: Uint8Array) {
    this.version = version
    this.hmac = new HmacSha256(secret)
    const digest = Buffer.from(this.hmac.digest(Buffer.from(checkLabel)), "latin1")
    this.check = digest.toString("hex", 0, checkBytes)
  }

  /** Makes a key, or says why the secret or the version will not do. */
  static make(options: AnonymizeKeyOptions): Either.Either<AnonymizeKey, SecretError> {
    if (!isVersion(options.version)) return Either.left(new SecretError({ reason: "Version" }))
    return SecretText.parse(Redacted.value(options.secret)).pipe(
      Either.mapBoth({
        onLeft: (reason) => new SecretError({ reason }),
        onRight: (secret) => new AnonymizeKey(options.version, secret)
      })
    )
  }

  /** The key of `ANONYMIZE_SECRET` and `ANONYMIZE_KEY_VERSION` (1 when absent). */
  static readonly config: Effect.Effect<AnonymizeKey, SecretError | ConfigError.ConfigError> = Effect.gen(
    function* () {
      const secret = yield* Config.option(Config.redacted("ANONYMIZE_SECRET"))
      const version = yield* Config.withDefault(Config.integer("ANONYMIZE_KEY_VERSION"), 1)
      if (Option.isNone(secret)) return yield* new SecretError({ reason: "Missing" })
      return yield* AnonymizeKey.make({ version, secret: secret.value })
    }
  )

  /** The text of a new secret of 256 random bits, to be kept and passed to `make`. For demonstrations and tests. */
  static readonly generate: Effect.Effect<Redacted.Redacted> = Effect.sync(() =>
    Redacted.make(randomBytes(32).toString("hex"))
  )

  toString(): string {
    return `AnonymizeKey(version ${this.version})`
  }

  toJSON(): unknown {
    return { _tag: "AnonymizeKey", version: this.version }
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString()
  }
}
