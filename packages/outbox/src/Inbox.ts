import { Context, Duration, Effect } from "effect"
import type { InboxError } from "./InboxError.ts"
import type { Message } from "./Message.ts"
import type * as Topic from "./Topic.ts"
import type { Transaction } from "./Transaction.ts"

/**
 * What keeps a late message from being applied, beside its id:
 * - `sequence`: the newest place of its key that the consumer has applied. For consumers that hold the state of a
 *   key; they have to be given each key's messages in order, since what comes after a newer one is left out for good.
 * - `none`: nothing. For unordered topics, and for consumers to whom each message counts in whatever order.
 */
export type Guard = "sequence" | "none"

/** Who applies messages. Consumers know nothing of what others have applied. */
export interface Consumer {
  /** Stays the same over restarts and instances. Letters, digits, `-` and `_`, 64 at most. */
  readonly name: string
  /** Default `sequence`. */
  readonly guard?: Guard
}

/** The guard that fits a topic. */
export const guardFor = (topic: Pick<Topic.Any, "ordered">): Guard => (topic.ordered ? "sequence" : "none")

/** Position of a message within its key. */
export type Place = Pick<Message, "sequence" | "ordinal">

/** Of a message, what the inbox goes by. */
export type Identified = Pick<Message, "id" | "key"> & Place

/**
 * What became of a message:
 * - `Applied`: the effect ran, and takes hold with the transaction.
 * - `Duplicate`: the consumer has applied it before; the effect did not run.
 * - `Stale`: the consumer has applied a newer message of its key; the effect did not run. Only with a guard.
 */
export type Outcome<A> =
  | { readonly _tag: "Applied"; readonly value: A }
  | { readonly _tag: "Duplicate" }
  | { readonly _tag: "Stale" }

/** How long the inbox remembers, by the database's clock. */
export interface Options {
  /**
   * Ids of applied messages. They protect from the same message coming twice, as after a crash of a relay: keep
   * them longer than a message may wait, be requeued or be replayed. Default 7 days; each is one small record.
   */
  readonly keepFor?: Duration.DurationInput
  /**
   * Newest places of keys, counted from the last message applied. They protect from what comes after the ids are
   * gone: a late message never goes over a newer state. One small record for each consumer and key. Default: for ever.
   */
  readonly keepGuardsFor?: Duration.DurationInput
}

/** Lifetimes in milliseconds; undefined: for ever. */
export interface Lifetimes {
  readonly ids: number | undefined
  readonly guards: number | undefined
}

/** The lifetimes that the options ask for. */
export const lifetimesOf = ({
  keepFor = Duration.days(7),
  keepGuardsFor = Duration.infinity
}: Options): Lifetimes => {
  const finite = (given: Duration.DurationInput) => {
    const millis = Duration.toMillis(given)
    return Number.isFinite(millis) ? Math.round(millis) : undefined
  }
  return { ids: finite(keepFor), guards: finite(keepGuardsFor) }
}

/**
 * Makes redelivery harmless: what a consumer does about a message, and the note that it did, commit in one
 * transaction, so that it takes hold once however often the message comes.
 */
export class Inbox extends Context.Tag("@twinbox/outbox/Inbox")<
  Inbox,
  {
    /**
     * Runs an effect about a message in the open transaction, unless the consumer has applied it, or a newer one of
     * its key, before. Of instances that have the same message at once, one goes through; the transaction of
     * another conflicts and is tried again, and finds a duplicate. So the effect can run several times, as all in a
     * transaction can: let it have no effects outside the database.
     *
     * When the effect fails, dies or is interrupted, the transaction is lost, whatever the body makes of the error:
     * neither what was done nor the note of it commits.
     */
    readonly once: <A, E, R>(
      consumer: Consumer,
      message: Identified,
      effect: Effect.Effect<A, E, R>
    ) => Effect.Effect<Outcome<A>, E | InboxError, R | Transaction>
  }
>() {}

/** What an inbox finds about a message. */
export interface Known {
  readonly isApplied: boolean
  /** The newest place of the key that was applied; undefined when none is known, or nobody asks. */
  readonly newest: Place | undefined
}

export type Verdict = "New" | "Duplicate" | "Stale"

const comparePlaces = (a: Place, b: Place): number => a.sequence - b.sequence || a.ordinal - b.ordinal

/** Whether a message is to be applied. Two messages of one key never have the same place. */
export const judge = (message: Place, { isApplied, newest }: Known): Verdict => {
  if (isApplied) return "Duplicate"
  if (newest === undefined) return "New"
  const order = comparePlaces(message, newest)
  if (order > 0) return "New"
  return order === 0 ? "Duplicate" : "Stale"
}

/** What an adapter gives. */
export interface Ledger {
  /** Judges a message, and notes it in the open transaction if it is new. */
  readonly admit: (
    consumer: Required<Consumer>,
    message: Identified
  ) => Effect.Effect<Verdict, InboxError, Transaction>
  /** Sees to it that nothing of the open transaction commits. */
  readonly doom: Effect.Effect<void, never, Transaction>
}

const namePattern = /^[A-Za-z0-9_-]{1,64}$/

/** The inbox over an adapter's ledger. */
export const over = ({ admit, doom }: Ledger): Context.Tag.Service<Inbox> => ({
  once: <A, E, R>(consumer: Consumer, message: Identified, effect: Effect.Effect<A, E, R>) => {
    if (!namePattern.test(consumer.name)) {
      return Effect.dieMessage(
        `'${consumer.name}' is no name of a consumer: letters, digits, '-' and '_', 64 at most`
      )
    }
    const conclude = (verdict: Verdict): Effect.Effect<Outcome<A>, E, R> =>
      verdict === "New"
        ? Effect.map(effect, (value) => ({ _tag: "Applied", value }))
        : Effect.succeed({ _tag: verdict })
    const admitted = Effect.flatMap(admit({ guard: "sequence", ...consumer }, message), conclude)
    // A body that goes on after a failure must not commit the note without what it says.
    return Effect.onError(admitted, () => doom)
  }
})
