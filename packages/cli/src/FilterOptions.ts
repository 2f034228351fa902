import { HelpDoc, Options, ValidationError } from "@effect/cli"
import { Key, type OutboxAdmin } from "@twinbox/outbox"
import { Clock, Effect, Either, Option } from "effect"
import * as Moment from "./Moment.ts"

/** Ids of one command line, at most. */
export const maxIds = 1_000

/** What a command line says about a time of dying or delivery: as typed. */
interface TypedSpan {
  readonly since: Option.Option<string>
  readonly before: Option.Option<string>
}

/** What a command line says about dead letters: as typed. */
export interface Typed extends TypedSpan {
  readonly ids: ReadonlyArray<string>
  readonly sink: Option.Option<string>
  readonly key: Option.Option<string>
  readonly topic: Option.Option<string>
  readonly reason: Option.Option<string>
}

/** Undefined fields are left out. */
const present = <A extends object>(fields: A): { [K in keyof A]?: Exclude<A[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof A]?: Exclude<A[K], undefined>
  }

const moment = (name: string, text: Option.Option<string>, now: number) =>
  Option.match(text, {
    onNone: () => Either.right(undefined),
    onSome: (text) => {
      const at = Moment.parse(text, now)
      return at === undefined
        ? Either.left(
            `${name} must be a date such as 2026-11-21 or 2026-11-21T10:00:00Z, or an age such as 2h, and is '${text}'`
          )
        : Either.right(at)
    }
  })

const validKey = (key: Option.Option<string>) =>
  Option.match(
    Option.filter(key, (text) => !Key.isKey(text)),
    {
      onNone: () => Either.right(Option.getOrUndefined(key)),
      onSome: (text) => Either.left(`--key must be 'stream/id', such as customer/42, and is '${text}'`)
    }
  )

/** The part of a filter that says when: from `--since` on, before `--before`. */
export const toSpan = (typed: TypedSpan, now: number) =>
  Either.gen(function* () {
    const from = yield* moment("--since", typed.since, now)
    const before = yield* moment("--before", typed.before, now)
    if (from !== undefined && before !== undefined && from >= before) {
      return yield* Either.left("--since must lie before --before: nothing lies between them")
    }
    return present({ from, before })
  })

/** The filter that was typed, or what is wrong with it. */
export const toFilter = (typed: Typed, now: number): Either.Either<OutboxAdmin.DeadFilter, string> =>
  Either.gen(function* () {
    if (typed.ids.length > maxIds) return yield* Either.left(`--id can be given ${maxIds} times at most`)
    return present({
      messageIds: typed.ids.length === 0 ? undefined : typed.ids,
      sink: Option.getOrUndefined(typed.sink),
      key: yield* validKey(typed.key),
      topic: Option.getOrUndefined(typed.topic),
      reason: Option.getOrUndefined(typed.reason),
      ...(yield* toSpan(typed, now))
    })
  })

/** The same for commands that change what they find: to mean all of them takes a word. */
export const toConsciousFilter = (
  { all, ...typed }: Typed & { readonly all: boolean },
  now: number
): Either.Either<OutboxAdmin.DeadFilter, string> =>
  Either.filterOrLeft(
    toFilter(typed, now),
    (filter) => all || Object.keys(filter).length > 0,
    () => "this would mean every dead letter: say which, by --sink or --id for example, or add --all"
  )

/** What was typed and cannot be meant is a usage error, told before anything is done. */
export const checked =
  <A, B>(check: (typed: A, now: number) => Either.Either<B, string>) =>
  (options: Options.Options<A>): Options.Options<B> =>
    Options.mapEffect(options, (typed) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Either.mapLeft(check(typed, now), (problem) => ValidationError.invalidValue(HelpDoc.p(problem)))
      )
    )

const text = (name: string, value: string, description: string) =>
  Options.text(name).pipe(
    Options.withPseudoName(value),
    Options.withDescription(description),
    Options.optional
  )

/** `--since` and `--before`. */
export const span = (what: string) => ({
  since: text(
    "since",
    "WHEN",
    `Only what ${what} then or later: a date (2026-11-21, 2026-11-21T10:00Z) or an age (2h).`
  ),
  before: text("before", "WHEN", `Only what ${what} before then: a date or an age.`)
})

const typed = {
  ids: Options.text("id").pipe(
    Options.withPseudoName("ID"),
    Options.withDescription("Only of this message, by its id. Can be given more than once."),
    Options.repeated
  ),
  sink: text("sink", "SINK", "Only of this sink; '*' are records that no sink could read."),
  key: text("key", "KEY", "Only of this key, such as customer/42."),
  topic: text("topic", "TOPIC", "Only of this topic."),
  reason: text("reason", "REASON", "Only with this reason, such as Rejected."),
  ...span("died")
}

/** Which dead letters; all of them when nothing is given. */
export const filter = Options.all(typed).pipe(checked(toFilter))

/** Which dead letters; without any filter, `--all` has to say so. */
export const consciousFilter = Options.all({
  ...typed,
  all: Options.boolean("all").pipe(
    Options.withDescription("All that match; needed when nothing else says which.")
  )
}).pipe(checked(toConsciousFilter))

interface TypedReplay extends TypedSpan {
  readonly sink: string
  readonly topic: Option.Option<string>
  readonly key: Option.Option<string>
}

/** The messages that were typed to be replayed, or what is wrong with them. */
export const toReplayFilter = (
  typed: TypedReplay,
  now: number
): Either.Either<OutboxAdmin.ReplayFilter, string> =>
  Either.gen(function* () {
    return {
      sink: typed.sink,
      ...present({ topic: Option.getOrUndefined(typed.topic), key: yield* validKey(typed.key) }),
      ...(yield* toSpan(typed, now))
    }
  })

/** Which delivered messages, and the sink that gets them once more. */
export const replayFilter = Options.all({
  sink: Options.text("sink").pipe(
    Options.withPseudoName("SINK"),
    Options.withDescription("The sink that gets them once more.")
  ),
  topic: typed.topic,
  key: typed.key,
  ...span("was delivered")
}).pipe(checked(toReplayFilter))
