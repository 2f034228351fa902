import { Context, type Effect } from "effect"
import type { OutboxError } from "./OutboxError.ts"
import type { DeadLetter, Member, RegisteredSink, Stats } from "./OutboxStore.ts"

/** Which dead letters are meant; all that is given must hold. Nothing given: all of them. */
export interface DeadFilter {
  readonly messageIds?: ReadonlyArray<string>
  readonly sink?: string
  readonly key?: string
  readonly topic?: string
  /** `DeadLetter.reason`. */
  readonly reason?: string
  /** `DeadLetter.at` from here on, in milliseconds since the epoch. */
  readonly from?: number
  /** `DeadLetter.at` before here. */
  readonly before?: number
}

export interface DeadPage {
  readonly filter: DeadFilter
  /** 1 to 1000. */
  readonly limit: number
  /** `next` of the page before. */
  readonly after?: string
}

/** A dead letter as people see it: where its message belongs, and nothing of its payload. */
export interface ListedDeadLetter extends DeadLetter {
  readonly key: string | undefined
  readonly topic: string | undefined
  readonly sequence: number | undefined
}

/** What became of dead letters that were to be requeued. */
export interface Requeued {
  readonly requeued: number
  /** Not requeued, because the sink is a mirror and MongoDB has a newer state of the key: discard them. */
  readonly superseded: number
  /** Not requeued, because the record is no message. */
  readonly corrupt: number
}

/** A key that waits at a sink for a person. */
export interface BlockedKey {
  readonly sink: string
  readonly key: string
  /** Dead letters that block it. */
  readonly deadLetters: number
  /** When the first of them died, by its relay's clock in milliseconds since the epoch. */
  readonly since: number
  /** Messages that wait behind them. */
  readonly waiting: number
}

export interface BlockedPage {
  readonly sink?: string
  readonly limit: number
}

/** Which delivered messages are sent again; all that is given must hold. */
export interface ReplayFilter {
  readonly sink: string
  readonly topic?: string
  readonly key?: string
  /** When it was delivered, by the database's clock in milliseconds since the epoch: from here on. */
  readonly from?: number
  /** Before here. */
  readonly before?: number
}

export interface Status {
  readonly stats: Stats
  readonly members: ReadonlyArray<Member & { readonly slots: number }>
  /** Slots that no member owns. */
  readonly freeSlots: number
  readonly suspectSlots: number
  readonly sinks: ReadonlyArray<RegisteredSink>
}

/**
 * Port for people who look after an outbox: what is stuck, and what to do about it. Relays learn of changes with
 * their next heartbeat. Long work goes on in batches, each whole by itself, so that it can be interrupted and
 * repeated; `progress` is told how many are done.
 */
export class OutboxAdmin extends Context.Tag("@twinbox/outbox/OutboxAdmin")<
  OutboxAdmin,
  {
    readonly status: Effect.Effect<Status, OutboxError>
    /** Oldest first. `next` is there when there may be more. */
    readonly deadLetters: (page: DeadPage) => Effect.Effect<
      {
        readonly letters: ReadonlyArray<ListedDeadLetter>
        readonly next: string | undefined
      },
      OutboxError
    >
    /** Sends dead letters again, each to the sink that had given up on it; a key goes on when its last one is gone. */
    readonly requeue: (
      filter: DeadFilter,
      progress?: (done: number) => Effect.Effect<void>
    ) => Effect.Effect<Requeued, OutboxError>
    /** Deletes dead letters for good; returns how many. A key goes on without them. */
    readonly discard: (
      filter: DeadFilter,
      progress?: (done: number) => Effect.Effect<void>
    ) => Effect.Effect<number, OutboxError>
    readonly blocked: (page: BlockedPage) => Effect.Effect<ReadonlyArray<BlockedKey>, OutboxError>
    /** Has delivered messages that are still kept, of the topics that the sink takes, sent to it once more; returns how many. */
    readonly replay: (
      filter: ReplayFilter,
      progress?: (done: number) => Effect.Effect<void>
    ) => Effect.Effect<number, OutboxError>
    readonly sinks: Effect.Effect<ReadonlyArray<RegisteredSink>, OutboxError>
    /**
     * Forgets a sink: it is owed nothing any more, and its dead letters go. Returns how many messages it was owed,
     * undefined when there is no such sink. A relay that still has the sink registers it again when it starts.
     */
    readonly removeSink: (
      name: string,
      progress?: (done: number) => Effect.Effect<void>
    ) => Effect.Effect<number | undefined, OutboxError>
  }
>() {}
