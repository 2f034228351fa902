import { Options } from "@effect/cli"
import { Effect } from "effect"
import { Failed, UsageError } from "./CommandError.ts"
import { Screen } from "./Screen.ts"

/** `--yes` */
export const yes = Options.boolean("yes").pipe(
  Options.withAlias("y"),
  Options.withDescription("Do it without asking.")
)

/** Whether consent is given or can be asked for: to be found out before anything else. */
export const possible = (isGiven: boolean): Effect.Effect<void, UsageError, Screen> =>
  Effect.flatMap(Screen, ({ canAsk }) =>
    isGiven || canAsk
      ? Effect.void
      : new UsageError({
          message: "this asks before it starts, and there is no terminal to ask on: add --yes to go ahead"
        })
  )

const declined = new Failed({ message: "nothing was done; answer y, or add --yes, to go ahead" })

/** Asks a person, and fails unless the answer is yes. */
export const ask = (question: string): Effect.Effect<void, Failed, Screen> =>
  Effect.gen(function* () {
    const screen = yield* Screen
    const isConsent = yield* screen.ask(question)
    if (!isConsent) yield* declined
  })
