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

/**
 * A relay that takes part. It raises `counter` with every heartbeat; who sees the same counter for longer than
 * `leaseMillis` on its own monotonic clock may expel it. No two machines' clocks are ever compared.
 */
export interface Member {
  readonly owner: string
  readonly counter: number
  readonly leaseMillis: number
  /** It gives its slots back and takes no more. */
  readonly leaving: boolean
}

/** One slot as the store has it. */
export interface SlotState {
  readonly slot: number
  /** Undefined: free. An owner that is no member has crashed, and the slot is as good as free. */
  readonly owner: string | undefined
  readonly epoch: number
  /** Taken over from an owner that did not give it back: one of its messages may have killed that process. */
  readonly suspect: boolean
  /** Rises when people or programs change what is behind, dead or blocked in the slot. */
  readonly changes: number
}

/** All that relays coordinate by, as one heartbeat finds it. */
export interface View {
  readonly members: ReadonlyArray<Member>
  /** Every slot, in rising order. */
  readonly slots: ReadonlyArray<SlotState>
  readonly sinks: ReadonlyArray<RegisteredSink>
  /** Whether messages whose `availableAt` has come wait to be made ready. */
  readonly isDue: boolean
}

/** What a store found where a message should be: a message, or a record that is none. */
export type Stored =
  | {
      readonly _tag: "Message"
      readonly message: Message
      /** How often the owner of a suspect slot was about to send it; by sink. Left out: never. */
      readonly marks?: Readonly<Record<string, number>>
      /** Attempts of former lives: it was a dead letter that somebody requeued. Left out: none. */
      readonly history?: ReadonlyArray<FailedAttempt>
    }
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

/** Why one attempt failed. */
export interface FailedAttempt {
  /** Clock of the relay in milliseconds since the epoch; information only. */
  readonly at: number
  readonly reason: string
  /** What went wrong, without payloads. */
  readonly error: string
}

/** Attempts kept with a dead letter, at most: the newest. */
export const maxHistory = 20

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
  /** The attempts that failed, oldest first, `maxHistory` at most. */
  readonly history: ReadonlyArray<FailedAttempt>
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
  /** It holds the newest state of each key and nothing else: older messages are of no use to it. */
  readonly isMirror: boolean
}

export interface SinkStats {
  /** Messages that this sink still owes and others do not wait for. */
  readonly behind: number
  readonly dead: number
  /** Keys that wait for a person. */
  readonly blockedKeys: number
  /** `createdAt` of the oldest message behind for it. */
  readonly oldestCreatedAt: number | undefined
}

export interface Stats {
  /** Messages that no sink has been kept from yet. */
  readonly ready: number
  /** Messages that some sink still owes. */
  readonly behind: number
  readonly dead: number
  /** Messages whose time has not come. */
  readonly scheduled: number
  /** Delivered messages that are kept for a replay. */
  readonly delivered: number
  /** `createdAt` of the oldest message not yet delivered everywhere. */
  readonly oldestCreatedAt: number | undefined
  /** By name; every sink that is registered, owes something or has dead letters. */
  readonly sinks: ReadonlyMap<string, SinkStats>
}

export interface ReadyOptions {
  readonly slots: ReadonlyArray<number>
  /** Sees at least everything that committed before this point. */
  readonly since?: Position
}

export interface BehindOptions {
  readonly sink: string
  readonly slots: ReadonlyArray<number>
  /** Keys to leave out besides the blocked ones. */
  readonly without?: ReadonlyArray<string>
}

/** What became of messages that one sink owed. */
export interface BehindOutcome {
  /** It has them now. */
  readonly confirmed: ReadonlyArray<Message>
  /** It will not have them. */
  readonly dead: ReadonlyArray<DeadLetter>
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

    /** Makes a relay known. Its name must be new: a relay that was expelled comes back under another one. */
    readonly join: (owner: string, leaseMillis: number) => Effect.Effect<void, OutboxError>
    /** Says that a relay lives, and returns how things stood afterwards. `StaleLease`: it was expelled. */
    readonly beat: (owner: string, leaving: boolean) => Effect.Effect<View, OutboxError>
    /** Ends a membership whose counter is still this one; tells whether it did. */
    readonly expel: (member: Pick<Member, "owner" | "counter">) => Effect.Effect<boolean, OutboxError>
    /** Ends the relay's own membership. Slots it has not released become suspect. */
    readonly leave: (owner: string) => Effect.Effect<void, OutboxError>
    /** Takes those of these slots that no member owns, raises their epochs, and returns what it took. */
    readonly claim: (
      owner: string,
      slots: ReadonlyArray<number>
    ) => Effect.Effect<ReadonlyArray<SlotState>, OutboxError>
    /** Gives slots back, cleanly left. Slots that are no longer the lease's stay as they are. */
    readonly release: (lease: Lease) => Effect.Effect<void, OutboxError>
    /** Notes that all that made these slots suspect has been delivered. */
    readonly clearSuspects: (lease: Lease) => Effect.Effect<void, OutboxError>
    /**
     * Sets the marks of messages of suspect slots: one more than they were read with before they are sent to a sink, as
     * many as that once the sink has answered and the process still lives. Returns when it is durable.
     */
    readonly mark: (
      lease: Lease,
      sink: string,
      messages: ReadonlyArray<Pick<Message, "id" | "slot">>,
      to: number
    ) => Effect.Effect<void, OutboxError>

    /** Opens the live feed of inserts. */
    readonly watch: (slots: ReadonlyArray<number>) => Effect.Effect<Feed, OutboxError, Scope.Scope>
    /** One forward pass over ready messages by (slot, key, sequence, ordinal). */
    readonly readReady: (options: ReadyOptions) => Effect.Effect<Cursor, OutboxError, Scope.Scope>
    /** One forward pass, in the same order, over what one sink still owes; keys with a dead letter at that sink are left out. */
    readonly readBehind: (options: BehindOptions) => Effect.Effect<Cursor, OutboxError, Scope.Scope>

    /**
     * Deletes messages that every sink has confirmed, or keeps them for a replay where the store is told to; of those
     * that are still ready, for what is behind is owed again. Needs no lease: a confirmed message is confirmed, whoever
     * says so.
     */
    readonly confirm: (messages: ReadonlyArray<Message>) => Effect.Effect<void, OutboxError>
    /** Notes what became of messages that a sink owed, in one transaction; those that nobody owes any longer are deleted as by `confirm`. */
    readonly settleBehind: (
      lease: Lease,
      sink: string,
      outcome: BehindOutcome
    ) => Effect.Effect<void, OutboxError>
    /** Moves messages behind or to the dead letters in one transaction, fenced by the lease (`StaleLease`). */
    readonly settle: (
      lease: Lease,
      settlements: ReadonlyArray<Settlement>
    ) => Effect.Effect<void, OutboxError>

    /** Keys that wait at a sink for a person to requeue or discard a dead letter. */
    readonly blockedKeys: (options: BehindOptions) => Effect.Effect<ReadonlyArray<string>, OutboxError>
    /**
     * Makes sinks known. To a known sink topics are added and none is taken away: another version of the program may
     * be running. Relays without the sink, or without the topic, leave its messages behind within a lease.
     */
    readonly registerSinks: (sinks: ReadonlyArray<RegisteredSink>) => Effect.Effect<void, OutboxError>
    /** Makes messages of these slots ready whose `availableAt` has come by the database's clock; returns how many. */
    readonly promote: (slots: ReadonlyArray<number>) => Effect.Effect<number, OutboxError>
    /**
     * Finds what no read would ever come across: records of these slots in an unknown state (returned), and messages
     * owed to nobody or to sinks that are not registered (mended at once; `mended` counts them).
     */
    readonly sweepOrphans: (
      lease: Lease
    ) => Effect.Effect<{ readonly mended: number; readonly corrupt: ReadonlyArray<Stored> }, OutboxError>
    /** How many messages wait, roughly and cheaply: for a limit on producers. */
    readonly depth: Effect.Effect<number, OutboxError>
    readonly stats: Effect.Effect<Stats, OutboxError>
  }
>() {}
