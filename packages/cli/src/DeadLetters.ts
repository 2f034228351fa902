import { Options } from "@effect/cli"
import { OutboxAdmin, type OutboxError } from "@twinbox/outbox"
import { Effect, Option, Stream } from "effect"
import * as Limit from "./Limit.ts"
import type * as Output from "./Output.ts"
import { Screen } from "./Screen.ts"
import * as Count from "./Count.ts"
import * as Table from "./Table.ts"

export interface Page {
  readonly letters: ReadonlyArray<OutboxAdmin.ListedDeadLetter>
  /** Where the next page begins, if there may be one. */
  readonly next: string | undefined
}

/** Pages of dead letters that match, oldest first, to the end. */
export const pages = (
  first: OutboxAdmin.DeadPage
): Stream.Stream<Page, OutboxError.OutboxError, OutboxAdmin.OutboxAdmin> =>
  Stream.paginateEffect(first, (page) =>
    Effect.gen(function* () {
      const admin = yield* OutboxAdmin.OutboxAdmin
      const found = yield* admin.deadLetters(page)
      return [found, Option.map(Option.fromNullable(found.next), (after) => ({ ...page, after }))] as const
    })
  )

/** How many dead letters of one sink have one reason. */
export interface Group {
  readonly sink: string
  readonly reason: string
  readonly deadLetters: number
}

const add = (
  groups: ReadonlyMap<string, Group>,
  letters: ReadonlyArray<OutboxAdmin.ListedDeadLetter>
): ReadonlyMap<string, Group> => {
  const counted = new Map(groups)
  for (const { reason, sink } of letters) {
    const name = `${sink}\n${reason}`
    counted.set(name, { sink, reason, deadLetters: (counted.get(name)?.deadLetters ?? 0) + 1 })
  }
  return counted
}

const total = (groups: Iterable<Group>): number => {
  let sum = 0
  for (const { deadLetters } of groups) sum += deadLetters
  return sum
}

/** Counts what matches, without changing anything. */
export const count = (
  filter: OutboxAdmin.DeadFilter
): Effect.Effect<
  { readonly deadLetters: number; readonly groups: ReadonlyArray<Group> },
  OutboxError.OutboxError,
  OutboxAdmin.OutboxAdmin | Screen
> =>
  Effect.gen(function* () {
    const screen = yield* Screen
    const none: ReadonlyMap<string, Group> = new Map()
    const groups = yield* Stream.runFoldEffect(
      pages({ filter, limit: Limit.max }),
      none,
      (before, { letters }) => {
        const after = add(before, letters)
        return Effect.as(
          screen.live(`counting: ${Count.of(total(after.values()), "dead letter")} so far`),
          after
        )
      }
    ).pipe(Effect.ensuring(screen.live(undefined)))
    return { deadLetters: total(groups.values()), groups: [...groups.values()] }
  })

const columns = [{ title: "SINK" }, { title: "REASON" }, { title: "DEAD LETTERS", alignsRight: true }]

/** `--dry-run` */
export const dryRunOption = Options.boolean("dry-run").pipe(
  Options.withDescription("Count what would be changed, and change nothing.")
)

/** What `--dry-run` shows. `done` is what would happen to them: `requeued`. */
export const dryRun = (
  filter: OutboxAdmin.DeadFilter,
  done: string
): Effect.Effect<Output.Result, OutboxError.OutboxError, OutboxAdmin.OutboxAdmin | Screen> =>
  Effect.map(count(filter), ({ deadLetters, groups }) => {
    const rows = groups.map((group) => [group.sink, group.reason, Count.text(group.deadLetters)])
    const sentence = `${Count.of(deadLetters, "dead letter")} would be ${done}; nothing was changed`
    return {
      document: { dryRun: true, deadLetters, groups },
      text: deadLetters === 0 ? "no dead letters match" : `${Table.render(columns, rows)}\n\n${sentence}`
    }
  })
