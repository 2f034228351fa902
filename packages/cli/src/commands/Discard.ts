import { Command } from "@effect/cli"
import { OutboxAdmin } from "@twinbox/outbox"
import { Clock, Effect } from "effect"
import * as Batches from "../Batches.ts"
import * as OutboxCommand from "../OutboxCommand.ts"
import * as Consent from "../Consent.ts"
import * as Count from "../Count.ts"
import * as DeadLetters from "../DeadLetters.ts"
import * as FilterOptions from "../FilterOptions.ts"

interface Given {
  readonly filter: OutboxAdmin.DeadFilter
  readonly dryRun: boolean
  readonly yes: boolean
}

/** What dies while the person thinks is not meant. */
const untilNow = (filter: OutboxAdmin.DeadFilter) =>
  Effect.map(Clock.currentTimeMillis, (now) => ({
    ...filter,
    before: Math.min(filter.before ?? Number.POSITIVE_INFINITY, now)
  }))

/** The letters that a person agrees to lose; there may be none to ask about. */
const agreed = (filter: OutboxAdmin.DeadFilter) =>
  Effect.gen(function* () {
    const meant = yield* untilNow(filter)
    const { deadLetters } = yield* DeadLetters.count(meant)
    if (deadLetters > 0) yield* Consent.ask(`Delete ${Count.of(deadLetters, "dead letter")} for good?`)
    return meant
  })

const discard = ({ dryRun, filter, yes }: Given) =>
  Effect.gen(function* () {
    if (dryRun) return yield* DeadLetters.dryRun(filter, "discarded")
    const admin = yield* OutboxAdmin.OutboxAdmin
    const meant = yes ? filter : yield* agreed(filter)
    const discarded = yield* Batches.run({ doing: "discarding", thing: "dead letter" }, (progress) =>
      admin.discard(meant, progress)
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
