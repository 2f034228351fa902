import { Command } from "@effect/cli"
import { OutboxAdmin } from "@twinbox/outbox"
import { Effect } from "effect"
import * as Batches from "../Batches.ts"
import * as OutboxCommand from "../OutboxCommand.ts"
import * as Count from "../Count.ts"
import * as DeadLetters from "../DeadLetters.ts"
import * as FilterOptions from "../FilterOptions.ts"

const text = ({ corrupt, requeued, superseded }: OutboxAdmin.Requeued): string => {
  if (requeued + superseded + corrupt === 0) return "no dead letters match"
  const lines = [`${Count.of(requeued, "dead letter")} requeued`]
  if (superseded > 0) {
    lines.push(`${Count.text(superseded)} left: a mirror needs only the newest state of a key; discard them`)
  }
  if (corrupt > 0) lines.push(`${Count.text(corrupt)} left: the record is no message; discard them`)
  return lines.join("\n")
}

const requeue = (filter: OutboxAdmin.DeadFilter, isDryRun: boolean) =>
  Effect.gen(function* () {
    if (isDryRun) return yield* DeadLetters.dryRun(filter, "requeued")
    const admin = yield* OutboxAdmin.OutboxAdmin
    const result = yield* Batches.run({ doing: "requeueing", thing: "dead letter" }, (progress) =>
      admin.requeue(filter, progress)
    )
    return { document: result, text: text(result) }
  })

const options = {
  filter: FilterOptions.consciousFilter,
  dryRun: DeadLetters.dryRunOption
}

/** `twinbox requeue` */
export const command = Command.make("requeue", { ...options, ...OutboxCommand.options }, (given) =>
  OutboxCommand.run(given, requeue(given.filter, given.dryRun))
).pipe(
  Command.withDescription(
    "Sends dead letters again, each to the sink that had given up on it. A blocked key goes on when its last one is gone."
  )
)
