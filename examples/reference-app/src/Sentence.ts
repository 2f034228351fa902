import { SecretError } from "@twinbox/anonymize"
import { settingSentence } from "@twinbox/cli/setting-sentence"
import { Cause, ConfigError, Option } from "effect"

const hasMessage = (error: unknown): error is { readonly message: string } =>
  typeof error === "object" && error !== null && "message" in error && typeof error.message === "string"

const failureSentence = (error: unknown): string => {
  // The library knows the secret, but not what its setting is called here.
  if (error instanceof SecretError) return `ANONYMIZE_SECRET: ${error.message}`
  if (ConfigError.isConfigError(error)) return settingSentence(error)
  return hasMessage(error) && error.message !== "" ? error.message : "unknown error"
}

/** A defect may quote anything, so only its kind is told. */
const defectSentence = (cause: Cause.Cause<unknown>): string => {
  const [defect] = Cause.defects(cause)
  const kind = defect instanceof Error ? defect.name : "unknown error"
  return `the program has a fault (${kind}); LOG_LEVEL=debug tells more`
}

/** What went wrong, in one sentence. */
export const sentenceOf = (cause: Cause.Cause<unknown>): string =>
  Option.match(Cause.failureOption(cause), {
    onSome: failureSentence,
    onNone: () => (Cause.isInterruptedOnly(cause) ? "it was interrupted" : defectSentence(cause))
  })
