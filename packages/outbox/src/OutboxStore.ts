import { Context, type Effect, type Scope } from "effect"
import type { Message } from "./Message.ts"
import type { OutboxError } from "./OutboxError.ts"
import type { Transaction } from "./Transaction.ts"

/**
 * A relay's right to slots. `epochs` holds the fencing token of each slot it owns: it rises with every
 * change of owner, so that what a former owner writes late is refused.
 */
export interface Lease {
  readonly owner: string
  readonly epochs: ReadonlyMap<number, number>
}

/** What a store found where a message should be: a message, or a record that is none. */
export type Stored =
  | { readonly _tag: "Message"; readonly message: Message }
  | {
      readonly _tag: "Corrupt"
      readonly id: string
      readonly slot: number
      readonly issues: ReadonlyArray<string>
    }

/** A point in the order of commits. Opaque: only the store that made it can read it. */
export interface Position {
  readonly adapter: string
}

/** Reads forward, a batch at a time; an empty batch is the end. Never waits for new messages. */
export interface Cursor {
  readonly next: Effect.Effect<ReadonlyArray<Stored>, OutboxError>
}

/**
 * The messages that commit after `position`, in commit order. `next` waits for a short while (the
 * adapter's choice, a few seconds at most) and may return an empty batch. Fails with `FeedLost` when
 * the feed cannot go on: the collection still has everything.
 */
export interface Feed {
  readonly position: Position
  readonly next: Effect.Effect<ReadonlyArray<Stored>, OutboxError>
}

/** A message given up on for one sink. `sink` is `*` for a record that no sink could read. */
export interface DeadLetter {
  readonly messageId: string
  readonly slot: number
  readonly sink: string
  /** Closed reason of the last error, for example `Rejected` or `Corrupt`. */
  readonly reason: string
  /** What went wrong, without payloads. */
  readonly error: string
  readonly attempts: number
  /** Whether later messages of its key wait at this sink until a person requeues or discards it. */
  readonly blocks: boolean
  /** Clock of the relay in milliseconds since the epoch; information only. */
  readonly at: number
}

/** What became of one message that not every sink has confirmed. */
export interface Settlement {
  readonly messageId: string
  readonly slot: number
  /** Sinks that still owe it. None of them: the message leaves the outbox. */
  readonly behind: ReadonlyArray<string>
  readonly dead: ReadonlyArray<DeadLetter>
}

/** A sink as the outbox knows it: a relay without it leaves its messages behind for it. */
export interface RegisteredSink {
  readonly name: string
  readonly topics: ReadonlyArray<string>
}

export interface Stats {
  /** Messages that no sink has been kept from yet. */
  readonly ready: number
  /** Messages that some sink still owes. */
  readonly behind: number
  readonly dead: number
  /** `createdAt` of the oldest message not yet delivered everywhere. */
  readonly oldestCreatedAt: number | undefined
}

export interface ReadyOptions {
  readonly slots: ReadonlyArray<number>
  /** Sees at least everything that committed before this point. */
  readonly since?: Position
}

export interface BehindOptions {
  readonly sink: string
  readonly slots: ReadonlyArray<number>
}

/**
 * Port to the database that holds the outbox. Adapters: MongoDB (`@twinbox/mongodb`) and memory
 * (`OutboxMemory`); one conformance suite runs over both.
 */
export class OutboxStore extends Context.Tag("@twinbox/outbox/OutboxStore")<
  OutboxStore,
  {
    /** Writes messages in the open transaction. */
    readonly append: (messages: ReadonlyArray<Message>) => Effect.Effect<void, OutboxError, Transaction>
    /** Reserves `count` sequences for each key in the open transaction; returns the first of each. Sequences start at 1. */
    readonly reserveSequences: (
      counts: ReadonlyMap<string, number>
    ) => Effect.Effect<ReadonlyMap<string, number>, OutboxError, Transaction>

    /** Takes slots over, whoever has them now, and raises their epochs. */
    readonly claim: (owner: string, slots: ReadonlyArray<number>) => Effect.Effect<Lease, OutboxError>
    /** Gives slots back, marked as cleanly left. Slots taken over by somebody else meanwhile stay theirs. */
    readonly release: (lease: Lease) => Effect.Effect<void, OutboxError>

    /** Opens the live feed of inserts. */
    readonly watch: (slots: ReadonlyArray<number>) => Effect.Effect<Feed, OutboxError, Scope.Scope>
    /** One forward pass over ready messages by (slot, key, sequence, ordinal). */
    readonly readReady: (options: ReadyOptions) => Effect.Effect<Cursor, OutboxError, Scope.Scope>
    /** One forward pass, in the same order, over what one sink still owes; keys with a dead letter at that sink are left out. */
    readonly readBehind: (options: BehindOptions) => Effect.Effect<Cursor, OutboxError, Scope.Scope>

    /** Deletes messages that every sink has confirmed. Needs no lease: a confirmed message is confirmed, whoever says so. */
    readonly confirm: (messageIds: ReadonlyArray<string>) => Effect.Effect<void, OutboxError>
    /** Marks messages as confirmed by a sink that owed them; those that nobody owes any longer are deleted. */
    readonly confirmBehind: (
      lease: Lease,
      sink: string,
      messages: ReadonlyArray<Pick<Message, "id" | "slot">>
    ) => Effect.Effect<void, OutboxError>
    /** Moves messages behind or to the dead letters in one transaction, fenced by the lease (`StaleLease`). */
    readonly settle: (
      lease: Lease,
      settlements: ReadonlyArray<Settlement>
    ) => Effect.Effect<void, OutboxError>

    /** Keys that wait at a sink for a person to requeue or discard a dead letter. */
    readonly blockedKeys: (options: BehindOptions) => Effect.Effect<ReadonlyArray<string>, OutboxError>
    /** Makes sinks known; a known sink is updated. */
    readonly registerSinks: (sinks: ReadonlyArray<RegisteredSink>) => Effect.Effect<void, OutboxError>
    readonly sinks: Effect.Effect<ReadonlyArray<RegisteredSink>, OutboxError>
    readonly stats: Effect.Effect<Stats, OutboxError>
  }
>() {}
