import type { OutboxAdmin } from "@twinbox/outbox"
import { Effect } from "effect"
import { Failed, type UsageError } from "./CommandError.ts"
import * as Connection from "./Connection.ts"
import * as Output from "./Output.ts"
import type { Screen } from "./Screen.ts"
import * as Sentence from "./Sentence.ts"

/** Options of every command: which outbox is meant, and how its answer looks. */
export const options = { json: Output.json, ...Connection.options }

export interface Given extends Connection.Given {
  readonly json: boolean
}

/** What a command could not do becomes one sentence for people. */
const tellable = (error: Sentence.CommandError): Failed | UsageError =>
  error._tag === "UsageError" ? error : new Failed({ message: Sentence.of(error) })

/** Does a command's work over the outbox that is meant. */
export const over = <A, R>(
  given: Connection.Given,
  work: Effect.Effect<A, Sentence.CommandError, R>
): Effect.Effect<A, Failed | UsageError, Exclude<R, OutboxAdmin.OutboxAdmin>> =>
  work.pipe(Effect.provide(Connection.layer(given)), Effect.mapError(tellable))

/** The same, and prints what came of it: while the connection is open, since closing it can be interrupted. */
export const run = <R>(
  given: Given,
  work: Effect.Effect<Output.Result, Sentence.CommandError, R>
): Effect.Effect<void, Failed | UsageError, Exclude<R | Screen, OutboxAdmin.OutboxAdmin>> =>
  over(
    given,
    Effect.flatMap(work, (result) => Output.print(given.json, result))
  )
