import { Clock, Context, Effect, Layer, Option } from "effect"
import * as Message from "./Message.ts"
import * as MessageHeaders from "./MessageHeaders.ts"
import type { OutboxError } from "./OutboxError.ts"
import { OutboxStore } from "./OutboxStore.ts"
import * as ProducerLimit from "./ProducerLimit.ts"
import * as TraceContext from "./TraceContext.ts"
import type { Transaction } from "./Transaction.ts"

/** A draft with the sequence its stream has given it (an original's own version, for example). */
export interface Sequenced {
  readonly draft: Message.Draft
  /** Left out: the outbox bumps `outbox_sequences` for the key, in the same transaction. */
  readonly sequence?: number
}

/** Options of the outbox: the producer limit. */
export type Options = ProducerLimit.Options

/**
 * Writing to the outbox. Every call needs an open `Transaction`: the message commits with everything
 * else in it, or not at all. Fails with reason `Full` while the producer limit is reached; then its transaction
 * writes nothing.
 *
 * Messages get the headers that `MessageHeaders.locally` gives around the call, and those without a `traceparent`
 * that of the span around it, where there is one.
 */
export class Outbox extends Context.Tag("@twinbox/outbox/Outbox")<
  Outbox,
  {
    /** Appends one message to the key's stream, with the next sequence of that key. Returns the message. */
    readonly append: (draft: Message.Draft) => Effect.Effect<Message.Message, OutboxError, Transaction>
    /**
     * Appends several, in order. Drafts that share key and given sequence get ordinals 0, 1, 2, ... in the
     * order of the call; pass them in one call.
     */
    readonly appendAll: (
      drafts: ReadonlyArray<Sequenced>
    ) => Effect.Effect<ReadonlyArray<Message.Message>, OutboxError, Transaction>
  }
>() {}

/** How many drafts of each key still need a sequence. */
const unsequencedKeys = (drafts: ReadonlyArray<Sequenced>): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const { draft, sequence } of drafts) {
    if (sequence === undefined) counts.set(draft.key, (counts.get(draft.key) ?? 0) + 1)
  }
  return counts
}

/**
 * Gives each draft its sequence and ordinal. `firstSequences` holds, for each key without given
 * sequences, the first of the sequences that were reserved for it.
 */
export const placeAll = (
  drafts: ReadonlyArray<Sequenced>,
  firstSequences: ReadonlyMap<string, number>,
  createdAt: number
): ReadonlyArray<Message.Message> => {
  const next = new Map(firstSequences)
  const ordinals = new Map<string, number>()
  return drafts.map(({ draft, sequence: given }) => {
    const sequence = given ?? next.get(draft.key) ?? 0
    if (given === undefined) next.set(draft.key, sequence + 1)
    const placeName = `${sequence} ${draft.key}`
    const ordinal = ordinals.get(placeName) ?? 0
    ordinals.set(placeName, ordinal + 1)
    return Message.place(draft, { sequence, ordinal, createdAt })
  })
}

const none: ReadonlyMap<string, number> = new Map()

/** What the fiber gives to drafts: its headers, and the trace of its span unless they have one. */
const withHeaders = (drafts: ReadonlyArray<Sequenced>): Effect.Effect<ReadonlyArray<Sequenced>> =>
  Effect.zipWith(MessageHeaders.current, TraceContext.current, (headers, trace) =>
    drafts.map((sequenced) => {
      const draft = { ...sequenced.draft, headers: { ...headers, ...sequenced.draft.headers } }
      return {
        ...sequenced,
        draft: Option.match(trace, {
          onNone: () => draft,
          onSome: (traceparent) => Message.traced(draft, traceparent)
        })
      }
    })
  )

/**
 * The outbox over whatever store is in the context.
 *
 * With `maxDepth`, what is written between two readings of the depth goes over the limit: it keeps a backlog from
 * growing without end, and is no exact count.
 */
export const make = (options: Options = {}): Effect.Effect<Context.Tag.Service<Outbox>, never, OutboxStore> =>
  Effect.gen(function* () {
    const store = yield* OutboxStore
    const admitted = yield* ProducerLimit.make(store.depth, options)
    const appendAll = (given: ReadonlyArray<Sequenced>) =>
      Effect.gen(function* () {
        if (given.length === 0) return []
        yield* admitted
        const drafts = yield* withHeaders(given)
        const wanted = unsequencedKeys(drafts)
        const first = wanted.size === 0 ? none : yield* store.reserveSequences(wanted)
        const createdAt = yield* Clock.currentTimeMillis
        const messages = placeAll(drafts, first, createdAt)
        yield* store.append(messages)
        return messages
      })
    const append = (draft: Message.Draft) =>
      Effect.map(appendAll([{ draft }]), (messages) => messages[0] as Message.Message)
    return Outbox.of({ append, appendAll })
  })

export const layer = (options: Options = {}): Layer.Layer<Outbox, never, OutboxStore> =>
  Layer.effect(Outbox, make(options))
