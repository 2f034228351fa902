import type { Message } from "./Message.ts"
import type { DeadLetter, FailedAttempt, Stored } from "./OutboxStore.ts"

/**
 * One message on its way through a relay. The lanes of all sinks share it and note in it what became of
 * the message; who brings `owed` to zero hands it to the settler. Mutable: only one relay's fibers see it.
 */
export interface Delivery {
  readonly message: Message
  /** How often owners of its slot died around sending it; by sink. */
  readonly marks: Readonly<Record<string, number>>
  /** Failed attempts of former lives. */
  readonly history: ReadonlyArray<FailedAttempt>
  /** Units of the relay's memory bound that it takes up. */
  readonly weight: number
  /** Lanes that have not finished with it. */
  owed: number
  /** Sinks that it is left behind for. */
  readonly behind: Array<string>
  readonly dead: Array<DeadLetter>
}

/** Payload bytes that count as one unit of weight. */
export const bytesPerWeight = 8 * 1024

const none: Readonly<Record<string, never>> = {}

/** Weight of a message: 1, and 1 more for each full 8 KiB of payload. */
export const weightOf = (message: Message): number =>
  1 + (message.payload === null ? 0 : Math.floor(message.payload.length / bytesPerWeight))

/** A message as the store returned it. */
export type StoredMessage = Extract<Stored, { _tag: "Message" }>

/** A delivery owed by `lanes` lanes. No weight is over `maxWeight`: one message can take all the room there is. */
export const make = (
  { history = [], marks = none, message }: StoredMessage,
  lanes: number,
  maxWeight: number
): Delivery => ({
  message,
  marks,
  history,
  weight: Math.min(weightOf(message), maxWeight),
  owed: lanes,
  behind: [],
  dead: []
})

/** Whether every sink has confirmed it. */
export const isConfirmed = (delivery: Delivery): boolean =>
  delivery.behind.length === 0 && delivery.dead.length === 0
