import type { OutboxAdmin } from "@twinbox/outbox"
import { Effect } from "effect"
import * as Connection from "./Connection.ts"
import * as Output from "./Output.ts"

/** Options of every command: which outbox is meant, and how its answer looks. */
export const options = { json: Output.json, ...Connection.options }

export interface Given extends Connection.Given {
  readonly json: boolean
}

/** Does a command's work over the outbox that is meant, and prints what came of it. */
export const run = <E, R>(given: Given, work: Effect.Effect<Output.Result, E, R | OutboxAdmin.OutboxAdmin>) =>
  work.pipe(
    // While the connection is open: what was done must be told, even if closing it is interrupted.
    Effect.flatMap((result) => Output.print(given.json, result)),
    Effect.provide(Connection.layer(given))
  )
