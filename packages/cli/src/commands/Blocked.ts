import { Command, Options } from "@effect/cli"
import { OutboxAdmin } from "@twinbox/outbox"
import { Clock, Effect, Option } from "effect"
import * as Age from "../Age.ts"
import * as OutboxCommand from "../OutboxCommand.ts"
import * as Count from "../Count.ts"
import * as Limit from "../Limit.ts"
import * as Output from "../Output.ts"
import * as Table from "../Table.ts"

const columns = [
  { title: "SINK" },
  { title: "KEY" },
  { title: "DEAD LETTERS", alignsRight: true },
  { title: "WAITING", alignsRight: true },
  { title: "BLOCKED FOR", alignsRight: true }
]

const table = (keys: ReadonlyArray<OutboxAdmin.BlockedKey>, now: number): string =>
  Table.render(
    columns,
    keys.map(({ deadLetters, key, since, sink, waiting }) => [
      sink,
      key,
      Count.text(deadLetters),
      Count.text(waiting),
      Age.since(since, now)
    ])
  )

const document = (keys: ReadonlyArray<OutboxAdmin.BlockedKey>) => ({
  blocked: keys.map(({ deadLetters, key, since, sink, waiting }) => ({
    sink,
    key,
    deadLetters,
    waiting,
    since: Output.time(since)
  }))
})

const blocked = (page: OutboxAdmin.BlockedPage) =>
  Effect.gen(function* () {
    const admin = yield* OutboxAdmin.OutboxAdmin
    const keys = yield* admin.blocked(page)
    const now = yield* Clock.currentTimeMillis
    const more = keys.length < page.limit ? "" : `\n\nthe first ${page.limit}; --limit shows more`
    return {
      document: document(keys),
      text: keys.length === 0 ? "no key is blocked" : table(keys, now) + more
    }
  })

const options = {
  sink: Options.text("sink").pipe(
    Options.withPseudoName("SINK"),
    Options.withDescription("Only at this sink."),
    Options.optional
  ),
  limit: Limit.option("keys")
}

/** `twinbox blocked` */
export const command = Command.make("blocked", { ...options, ...OutboxCommand.options }, (given) =>
  OutboxCommand.run(
    given,
    blocked({
      limit: given.limit,
      ...Option.match(given.sink, { onNone: () => ({}), onSome: (sink) => ({ sink }) })
    })
  )
).pipe(
  Command.withDescription(
    "Keys that wait at a sink until their dead letters are requeued or discarded, the longest blocked first."
  )
)
