import { Command, Options } from "@effect/cli"
import type { OutboxAdmin, OutboxError } from "@twinbox/outbox"
import { Clock, Effect, Option, Stream } from "effect"
import * as Age from "../Age.ts"
import { UsageError } from "../CommandError.ts"
import * as OutboxCommand from "../OutboxCommand.ts"
import * as DeadLetters from "../DeadLetters.ts"
import * as FilterOptions from "../FilterOptions.ts"
import * as Limit from "../Limit.ts"
import * as Output from "../Output.ts"
import { Screen } from "../Screen.ts"
import * as Table from "../Table.ts"

type Letter = OutboxAdmin.ListedDeadLetter

/** What JSON shows of a dead letter: nothing that a store may have put beside it. */
const document = (letter: Letter) => ({
  messageId: letter.messageId,
  sink: letter.sink,
  key: letter.key ?? null,
  topic: letter.topic ?? null,
  sequence: letter.sequence ?? null,
  slot: letter.slot,
  reason: letter.reason,
  error: letter.error,
  attempts: letter.attempts,
  blocks: letter.blocks,
  at: Output.time(letter.at),
  history: letter.history.map(({ at, error, reason }) => ({ at: Output.time(at), reason, error }))
})

const columns = [
  { title: "ID" },
  { title: "SINK" },
  { title: "KEY" },
  { title: "TOPIC" },
  { title: "SEQUENCE", alignsRight: true },
  { title: "REASON" },
  { title: "ATTEMPTS", alignsRight: true },
  { title: "BLOCKS" },
  { title: "AGE", alignsRight: true },
  { title: "ERROR" }
]

/** The whole of an error is in the JSON document. */
const maxErrorLength = 80

const shortened = (error: string): string =>
  error.length <= maxErrorLength ? error : `${error.slice(0, maxErrorLength - 1)}…`

const table = (letters: ReadonlyArray<Letter>, now: number): string =>
  Table.render(
    columns,
    letters.map((letter) => [
      letter.messageId,
      letter.sink,
      letter.key ?? "-",
      letter.topic ?? "-",
      letter.sequence === undefined ? "-" : String(letter.sequence),
      letter.reason,
      String(letter.attempts),
      letter.blocks ? "yes" : "no",
      Age.since(letter.at, now),
      shortened(letter.error)
    ])
  )

const options = {
  filter: FilterOptions.filter,
  limit: Limit.option("dead letters"),
  after: Options.text("after").pipe(
    Options.withPseudoName("TOKEN"),
    Options.withDescription("Go on after the page before, by the token that it ended with."),
    Options.optional
  ),
  all: Options.boolean("all").pipe(Options.withDescription("Show all that match, instead of a page."))
}

interface Given {
  readonly filter: OutboxAdmin.DeadFilter
  readonly limit: number
  readonly after: Option.Option<string>
  readonly all: boolean
  readonly json: boolean
}

/** Tokens of stores hold characters that shells take for their own. */
const toToken = (next: string): string => Buffer.from(next).toString("base64url")
const fromToken = (token: string): string => Buffer.from(token, "base64url").toString()

const badToken = new UsageError({ message: "--after must be the token that the page before ended with" })

/** One page, or, so that any number fits into memory, one after another. */
const pagesOf = ({ after, all, filter, limit }: Given) => {
  const pages = DeadLetters.pages({
    filter,
    limit: all ? Limit.max : limit,
    ...Option.match(after, { onNone: () => ({}), onSome: (token) => ({ after: fromToken(token) }) })
  })
  // A store that refuses without a cause refuses what it was asked, not on behalf of its database.
  const isAboutToken = (error: OutboxError.OutboxError) =>
    error.reason === "Refused" && error.cause === undefined && Option.isSome(after)
  return (all ? pages : Stream.take(pages, 1)).pipe(
    Stream.mapError((error) => (isAboutToken(error) ? badToken : error))
  )
}

/** One document, a letter a line; nothing of it when not even the first page could be read. */
const printJson = (given: Given) =>
  Effect.gen(function* () {
    const { print } = yield* Screen
    let start = '{"deadLetters":['
    let next: string | undefined
    yield* Stream.runForEach(pagesOf(given), (page) => {
      next = page.next
      const lines = page.letters.map((letter) => {
        const line = start + JSON.stringify(document(letter))
        start = ","
        return line
      })
      return lines.length === 0 ? Effect.void : print(lines.join("\n"))
    })
    const nextToken = JSON.stringify(next === undefined ? null : toToken(next))
    yield* print(`${start === "," ? "" : start}],"next":${nextToken}}`)
  })

const printTables = (given: Given) =>
  Effect.gen(function* () {
    const { print } = yield* Screen
    const now = yield* Clock.currentTimeMillis
    let shown = 0
    let next: string | undefined
    yield* Stream.runForEach(pagesOf(given), (page) => {
      shown += page.letters.length
      next = page.next
      return page.letters.length === 0 ? Effect.void : print(table(page.letters, now))
    })
    if (shown === 0) yield* print("no dead letters match")
    if (next !== undefined) yield* print(`\nmay be more: add --after ${toToken(next)}, or --all`)
  })

/** `twinbox dead` */
export const command = Command.make("dead", { ...options, ...OutboxCommand.options }, (given) =>
  OutboxCommand.over(given, given.json ? printJson(given) : printTables(given))
).pipe(
  Command.withDescription(
    "Messages that were given up on, oldest first: where each belongs, and what went wrong. Payloads are not shown."
  )
)
