import { Data, type Effect } from "effect"
import type { Message } from "./Message.ts"
import type * as Topic from "./Topic.ts"

/**
 * Why a sink could not take a whole batch:
 * - `Unavailable`: it does not answer; the batch is sent again with back-off, no attempt is counted.
 * - `NotReady`: it answers, but cannot take messages now (a mirror that lost its data, say); as above.
 * - `Throttled`: it asks to slow down; nothing is sent to it for `retryAfterMillis`, and it counts as healthy.
 * - `Timeout`: no answer within the relay's time limit; as above. The batch may have arrived: sent twice is harmless.
 * - `Failed`: the batch as a whole failed, and no message can be blamed: it is halved until one can.
 */
export type SinkErrorReason = "Unavailable" | "NotReady" | "Throttled" | "Timeout" | "Failed"

const namePattern = /^[A-Za-z0-9_-]{1,64}$/

/** Whether a text can be the name of a sink. */
export const isSinkName = (text: string): boolean => namePattern.test(text)

/** A whole batch failed. */
export class SinkError extends Data.TaggedError("SinkError")<{
  readonly sink: string
  readonly reason: SinkErrorReason
  /** Only with `Throttled`. Default 1,000. */
  readonly retryAfterMillis?: number
  readonly cause?: unknown
}> {
  get retryable(): boolean {
    return this.reason !== "Failed"
  }
  override get message() {
    return `sink '${this.sink}': ${this.reason}`
  }
}

/** One message that the sink refused. */
export interface Rejection {
  readonly messageId: string
  /** A short name from a list the sink closes, for example `TooLarge`. */
  readonly reason: string
  /** What is wrong, without payloads: it is stored with the dead letter and shown to people. */
  readonly error: string
  /** False: the message goes to the dead letters at once. */
  readonly retryable: boolean
}

/**
 * Where messages go. An adapter or user writes one function.
 *
 * Contract of `deliver`:
 * - the batch holds messages in order; those of one key have rising (sequence, ordinal);
 * - success names the messages it refused; every other one is durable at the sink;
 * - when it refuses a message, it has not applied later messages of that key in the batch, or can be sent
 *   them again after it without harm;
 * - the same message may come twice, also after newer ones of its key (a relay that died): that must be harmless;
 * - it may be interrupted.
 */
export interface Sink<out V extends Topic.View = Topic.View> {
  /** Name under which the outbox knows it; stays the same over restarts. Letters, digits, `-` and `_`, 64 at most. */
  readonly name: string
  /** Default false. True: it holds the newest state of each key and nothing else. */
  readonly isMirror?: boolean
  readonly topics: ReadonlyArray<Topic.Any<V>>
  readonly deliver: (batch: ReadonlyArray<Message>) => Effect.Effect<ReadonlyArray<Rejection>, SinkError>
}
