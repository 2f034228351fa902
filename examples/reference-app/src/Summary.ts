import { MongoDatabase, Transaction } from "@twinbox/mongodb"
import { OutboxStore } from "@twinbox/outbox"
import { Duration, Effect, Either, Option } from "effect"
import * as Backlog from "./Backlog.ts"
import { customerCollection, customerStream } from "./Customer.ts"
import { EventKafka } from "./EventKafka.ts"
import { countKeys } from "./KeyCount.ts"
import { MirrorRedis } from "./MirrorRedis.ts"

/** Exact counts of what there is. */
export interface Summary {
  readonly originals: number
  readonly twins: number
  /** Customers in the mirror; none: they were not counted. */
  readonly mirrored: Option.Option<number>
  /** Messages that are not yet delivered. */
  readonly outbox: number
  /** Messages that were given up on. */
  readonly dead: number
}

/** The counts do not agree. */
export interface Verdict {
  readonly agrees: boolean
  readonly sentence: string
}

const countWithin = Duration.seconds(1)

const countAll = (collection: string) =>
  Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
    Transaction.use((session) => db.collection(collection).countDocuments({}, { session }))
  )

/** In one transaction, so that both counts are of the same moment even while other processes write. */
const countPairs = Transaction.run(
  Effect.all([countAll(customerCollection), countAll(`${customerCollection}_anonymised`)])
)

const countMirrored = Effect.flatMap(MirrorRedis, (found) =>
  Either.match(found, {
    onLeft: () => Effect.succeedNone,
    onRight: ({ redis }) => Effect.asSome(countKeys(redis, `${customerStream}:*`))
  })
)

/** Counts everything, or fails when a server does not answer in time. */
export const count: Effect.Effect<
  Summary,
  { readonly message: string },
  EventKafka | MirrorRedis | MongoDatabase.MongoDatabase | OutboxStore.OutboxStore
> = Effect.gen(function* () {
  const hasKafka = Either.isRight(yield* EventKafka)
  const store = yield* OutboxStore.OutboxStore
  const [[originals, twins], mirrored, stats] = yield* Effect.all([countPairs, countMirrored, store.stats], {
    concurrency: "unbounded"
  })
  const outbox = Backlog.of(stats, hasKafka)
  return { originals, twins, mirrored, outbox, dead: stats.dead } satisfies Summary
}).pipe(
  Effect.timeoutFail({
    duration: countWithin,
    onTimeout: () => ({ message: "the servers did not answer in time" })
  })
)

/**
 * Whether everything has arrived.
 *
 * @param isWhole whether this process had both the writing and the relaying roles, so that nobody else is
 *   expected to write or to deliver
 */
export const judge = (summary: Summary, isWhole: boolean): Verdict => {
  const { dead, mirrored, originals, outbox, twins } = summary
  if (originals !== twins) return { agrees: false, sentence: "originals and twins differ" }
  const isMirrored = Option.contains(mirrored, originals)
  if (isMirrored && outbox === 0) {
    return { agrees: true, sentence: "originals = twins = mirrored, and the outbox is empty" }
  }
  if (Option.isNone(mirrored)) {
    return { agrees: true, sentence: "originals = twins; the mirror is left to the role relay" }
  }
  if (!isWhole) {
    return {
      agrees: true,
      sentence: "originals = twins; other processes write or relay, so the mirror may lag"
    }
  }
  if (outbox > 0) {
    return {
      agrees: false,
      sentence: "not everything is mirrored yet: the next run delivers what is in the outbox"
    }
  }
  return {
    agrees: false,
    sentence:
      dead > 0
        ? "originals and mirror differ: some messages were given up on"
        : "originals and mirror differ, and the outbox is empty"
  }
}

const labelWidth = 12
const numberWidth = 11

/** The counts as lines for people. */
export const render = ({ dead, mirrored, originals, outbox, twins }: Summary): ReadonlyArray<string> => {
  const row = (label: string, value: number | string) =>
    `  ${label.padEnd(labelWidth)}${value.toLocaleString("en").padStart(numberWidth)}`
  return [
    row("originals", originals),
    row("twins", twins),
    row(
      "mirrored",
      Option.getOrElse(mirrored, () => "not counted")
    ),
    row("outbox", outbox),
    ...(dead > 0 ? [row("given up", dead)] : [])
  ]
}
