import { Command } from "@effect/cli"
import { OutboxAdmin } from "@twinbox/outbox"
import { Effect } from "effect"
import * as Batches from "../Batches.ts"
import * as OutboxCommand from "../OutboxCommand.ts"
import * as Consent from "../Consent.ts"
import * as Count from "../Count.ts"
import * as DeadLetters from "../DeadLetters.ts"
import * as FilterOptions from "../FilterOptions.ts"

const question = (filter: OutboxAdmin.DeadFilter) =>
  Effect.map(
    DeadLetters.count(filter),
    ({ deadLetters }) => `Delete ${Count.of(deadLetters, "dead letter")} for good?`
  )

interface Given {
  readonly filter: OutboxAdmin.DeadFilter
  readonly dryRun: boolean
  readonly yes: boolean
}

const discard = ({ dryRun, filter, yes }: Given) =>
  Effect.gen(function* () {
    if (dryRun) return yield* DeadLetters.dryRun(filter, "discarded")
    const admin = yield* OutboxAdmin.OutboxAdmin
    yield* Consent.obtain(yes, question(filter))
    const discarded = yield* Batches.run({ doing: "discarding", thing: "dead letter" }, (progress) =>
      admin.discard(filter, progress)
    )
    const sentence = `${Count.of(discarded, "dead letter")} discarded`
    return { document: { discarded }, text: discarded === 0 ? "no dead letters match" : sentence }
  })

const options = {
  filter: FilterOptions.consciousFilter,
  dryRun: DeadLetters.dryRunOption,
  yes: Consent.yes
}

/** `twinbox discard` */
export const command = Command.make("discard", { ...options, ...OutboxCommand.options }, (given) =>
  Effect.zipRight(Consent.possible(given.yes || given.dryRun), OutboxCommand.run(given, discard(given)))
).pipe(
  Command.withDescription(
    "Deletes dead letters for good: their sinks never get them. A blocked key goes on without them. Asks first."
  )
)
