import { Args, Command } from "@effect/cli"
import { OutboxAdmin, type OutboxStore } from "@twinbox/outbox"
import { Effect, Option } from "effect"
import * as Batches from "../Batches.ts"
import { unknownSink } from "../CommandError.ts"
import * as OutboxCommand from "../OutboxCommand.ts"
import * as Consent from "../Consent.ts"
import * as Count from "../Count.ts"
import * as Table from "../Table.ts"

const columns = [{ title: "SINK" }, { title: "MIRROR" }, { title: "TOPICS" }]

const table = (sinks: ReadonlyArray<OutboxStore.RegisteredSink>): string =>
  Table.render(
    columns,
    sinks.map(({ isMirror, name, topics }) => [name, isMirror ? "yes" : "no", topics.join(", ")])
  )

const list = Effect.gen(function* () {
  const admin = yield* OutboxAdmin.OutboxAdmin
  const sinks = yield* admin.sinks
  return {
    document: { sinks: sinks.map(({ isMirror, name, topics }) => ({ name, isMirror, topics })) },
    text: sinks.length === 0 ? "no sinks: no relay has registered any yet" : table(sinks)
  }
})

/** `twinbox sinks` */
export const listing = Command.make("sinks", OutboxCommand.options, (given) =>
  OutboxCommand.run(given, list)
).pipe(Command.withDescription("The sinks that the outbox knows, and owes its messages to."))

const ask = (name: string) =>
  Effect.gen(function* () {
    const admin = yield* OutboxAdmin.OutboxAdmin
    const { stats } = yield* admin.status
    const owed = stats.sinks.get(name)
    if (owed === undefined) return yield* unknownSink(name)
    const messages = Count.of(owed.behind, "message")
    const deadLetters = Count.text(owed.dead)
    return yield* Consent.ask(
      `Forget sink '${name}'? It will never get what it is owed (${messages}), and its dead letters (${deadLetters}) go.`
    )
  })

const remove = (name: string, yes: boolean) =>
  Effect.gen(function* () {
    const admin = yield* OutboxAdmin.OutboxAdmin
    if (!yes) yield* ask(name)
    const owed = yield* Batches.run({ doing: "removing", thing: "message" }, (progress) =>
      admin.removeSink(name, progress)
    )
    if (owed === undefined) return yield* unknownSink(name)
    return {
      document: { removed: name, owed },
      text: `sink '${name}' removed; it was owed ${Count.of(owed, "message")}`
    }
  })

const removeOptions = {
  name: Args.text({ name: "NAME" }).pipe(Args.withDescription("The sink to forget.")),
  yes: Consent.yes,
  ...OutboxCommand.options
}

/** `twinbox sinks remove NAME` */
export const removing = Command.make("remove", removeOptions, (given) =>
  Effect.gen(function* () {
    // What stands between `sinks` and `remove` counts as well: it may name the database.
    const outer = yield* listing
    const meant = {
      json: given.json || outer.json,
      uri: Option.orElse(given.uri, () => outer.uri),
      database: Option.orElse(given.database, () => outer.database)
    }
    yield* Consent.possible(given.yes)
    yield* OutboxCommand.run(meant, remove(given.name, given.yes))
  })
).pipe(
  Command.withDescription(
    "Forgets a sink: it is owed nothing any more, and its dead letters are deleted. Take it out of all relays first, or they register it again. Asks first."
  )
)
