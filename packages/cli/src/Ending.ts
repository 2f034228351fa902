import { ValidationError } from "@effect/cli"
import { Cause, Exit, Option } from "effect"
import { type Failed, UsageError } from "./CommandError.ts"

/** What a command can end with. */
export type Failure = ValidationError.ValidationError | Failed | UsageError

const isUsageError = (failure: unknown): boolean =>
  ValidationError.isValidationError(failure) || failure instanceof UsageError

/** 0: done; 1: failed; 2: the command line makes no sense. */
export const exitCode = (exit: Exit.Exit<unknown, unknown>): number =>
  Exit.match(exit, {
    onSuccess: () => 0,
    onFailure: (cause) => (Option.exists(Cause.failureOption(cause), isUsageError) ? 2 : 1)
  })

/** A fault may quote anything, so only its kind is told. */
const faultSentence = (cause: Cause.Cause<unknown>): string => {
  const [fault] = Cause.defects(cause)
  return `the command has a fault (${fault instanceof Error ? fault.name : "unknown"}): please report it`
}

/** What went wrong; undefined where the command line library has told about its own error already. */
export const sentence = (cause: Cause.Cause<Failure>): string | undefined => {
  const failure = Option.getOrUndefined(Cause.failureOption(cause))
  return ValidationError.isValidationError(failure) ? undefined : (failure?.message ?? faultSentence(cause))
}
