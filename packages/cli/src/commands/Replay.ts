import { Command } from "@effect/cli"
import { OutboxAdmin } from "@twinbox/outbox"
import { Effect } from "effect"
import * as Batches from "../Batches.ts"
import { unknownSink } from "../CommandError.ts"
import * as OutboxCommand from "../OutboxCommand.ts"
import * as Consent from "../Consent.ts"
import * as Count from "../Count.ts"
import * as FilterOptions from "../FilterOptions.ts"

/** Nobody would ever take what is left behind for a sink that is not there. */
const checkSink = (name: string) =>
  Effect.gen(function* () {
    const admin = yield* OutboxAdmin.OutboxAdmin
    const sinks = yield* admin.sinks
    if (!sinks.some((sink) => sink.name === name)) yield* unknownSink(name)
  })

const replay = (filter: OutboxAdmin.ReplayFilter, yes: boolean) =>
  Effect.gen(function* () {
    const admin = yield* OutboxAdmin.OutboxAdmin
    yield* checkSink(filter.sink)
    if (!yes) {
      yield* Consent.ask(`Send what was delivered, and is still kept, to sink '${filter.sink}' once more?`)
    }
    const replayed = yield* Batches.run({ doing: "replaying", thing: "message" }, (progress) =>
      admin.replay(filter, progress)
    )
    const sentence = `${Count.of(replayed, "message")} will be sent to '${filter.sink}' once more`
    const none = "no delivered messages match: they are kept only where the outbox is told to"
    return { document: { replayed }, text: replayed === 0 ? none : sentence }
  })

const options = {
  filter: FilterOptions.replayFilter,
  yes: Consent.yes
}

/** `twinbox replay` */
export const command = Command.make("replay", { ...options, ...OutboxCommand.options }, (given) =>
  Effect.zipRight(Consent.possible(given.yes), OutboxCommand.run(given, replay(given.filter, given.yes)))
).pipe(
  Command.withDescription(
    "Sends delivered messages, as far as they are still kept, to one sink once more. Asks first."
  )
)
