import { Context, Effect, Layer } from "effect"
import * as Message from "./Message.ts"
import type { OutboxError } from "./OutboxError.ts"
import { OutboxStore } from "./OutboxStore.ts"
import type { Transaction } from "./Transaction.ts"

/** A draft with the sequence its stream has given it (an original's own version, for example). */
export interface Sequenced {
  readonly draft: Message.Draft
  /** Left out: the outbox bumps `outbox_sequences` for the key, in the same transaction. */
  readonly sequence?: number
}

/**
 * Writing to the outbox. Every call needs an open `Transaction`: the message commits with everything
 * else in it, or not at all.
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

/** The outbox over whatever store is in the context. */
export const make = Effect.gen(function* () {
  const store = yield* OutboxStore
  const appendAll = (drafts: ReadonlyArray<Sequenced>) => {
    const wanted = unsequencedKeys(drafts)
    const reserved = wanted.size === 0 ? Effect.succeed(none) : store.reserveSequences(wanted)
    return Effect.flatMap(reserved, (first) =>
      Effect.clockWith((clock) => {
        const messages = placeAll(drafts, first, clock.unsafeCurrentTimeMillis())
        return Effect.as(store.append(messages), messages)
      })
    )
  }
  const append = (draft: Message.Draft) =>
    Effect.map(appendAll([{ draft }]), (messages) => messages[0] as Message.Message)
  return Outbox.of({ append, appendAll })
})

export const layer: Layer.Layer<Outbox, never, OutboxStore> = Layer.effect(Outbox, make)
