import { Options } from "@effect/cli"
import { Schema } from "effect"

/** What a store gives at once, at most. */
export const max = 1_000

/** `--limit` */
export const option = (things: string) =>
  Options.integer("limit").pipe(
    Options.withPseudoName("N"),
    Options.withDescription(`How many ${things} to show, 1 to ${max}. Default 50.`),
    Options.withSchema(
      Schema.Int.pipe(
        Schema.between(1, max, { message: () => `--limit must be a whole number from 1 to ${max}` })
      )
    ),
    Options.withDefault(50)
  )
