import { Cause } from "effect"

/*
 * What went wrong may quote what a customer has sent: parsers do, and so do the errors of drivers. The typed errors of
 * this project, known by telling whether to try again, never do.
 */

interface OwnError {
  readonly _tag: string
  readonly retryable: boolean
  readonly message: string
}

const isOwn = (error: unknown): error is OwnError =>
  error instanceof Error && "_tag" in error && "retryable" in error && typeof error.retryable === "boolean"

/** What kind of error it is: its tag or its name. */
export const kindOf = (error: unknown): string => {
  if (!(error instanceof Error)) return "unknown error"
  return "_tag" in error && typeof error._tag === "string" ? error._tag : error.name
}

/** Where in the program it came from. The text that goes before may have several lines. */
const framesOf = ({ stack = "" }: Error): string =>
  stack
    .split("\n")
    .filter((line) => /^ {4}at [^\n]+(:\d+:\d+|\(<anonymous>\))\)?$/.test(line))
    .join("\n")

const safe = (error: unknown): Error => {
  const kind = kindOf(error)
  const told = new Error(isOwn(error) ? error.message : kind)
  told.name = kind
  told.stack = `${kind}: ${told.message}${error instanceof Error ? `\n${framesOf(error)}` : ""}`
  return told
}

/** A cause of which every word may be shown. */
export const of = (cause: Cause.Cause<unknown>): Cause.Cause<Error> =>
  Cause.match(cause, {
    onEmpty: Cause.empty as Cause.Cause<Error>,
    onFail: (error) => Cause.fail(safe(error)),
    onDie: (defect) => Cause.die(safe(defect)),
    onInterrupt: (fiber) => Cause.interrupt(fiber),
    onSequential: Cause.sequential,
    onParallel: Cause.parallel
  })

/** The kinds of all errors of a cause. */
export const kindsOf = (cause: Cause.Cause<unknown>): ReadonlyArray<string> =>
  [...Cause.failures(cause), ...Cause.defects(cause)].map(kindOf)
