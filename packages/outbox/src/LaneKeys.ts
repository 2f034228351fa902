import * as DeliveryState from "./DeliveryState.ts"
import type { Delivery } from "./Delivery.ts"
import type { Message } from "./Message.ts"
import type { AfterDeadLetter, RetryPolicy } from "./RelayPolicy.ts"
import type { Rejection } from "./Sink.ts"

/** What became of a batch. */
export interface Outcome {
  readonly confirmed: ReadonlyArray<Delivery>
  readonly dead: ReadonlyArray<{
    readonly delivery: Delivery
    readonly rejection: Rejection
    readonly attempts: number
  }>
  /** Left behind, because an earlier message of their key is a dead letter. */
  readonly parked: ReadonlyArray<Delivery>
}

interface WaitingKey {
  readonly deliveries: Array<Delivery>
  readonly attempts: number
  readonly dueMillis: number
}

export interface Options {
  readonly retry: RetryPolicy
  readonly afterDeadLetter: AfterDeadLetter
  /** What order is kept for: the key, or the message's own id on unordered topics. */
  readonly orderKey: (message: Message) => string
  /** Keys that have a dead letter at this sink already. */
  readonly parked: Iterable<string>
}

/**
 * The order of one lane: which keys wait for their next attempt and which are parked. A failing key
 * holds up its own later messages and nobody else's.
 *
 * No effects here: time and randomness come in as arguments.
 */
export class LaneKeys {
  readonly #options: Options
  readonly #waiting = new Map<string, WaitingKey>()
  /** Attempts of the first message of keys that are being sent again just now. */
  readonly #attempts = new Map<string, number>()
  readonly #parked: Set<string>

  constructor(options: Options) {
    this.#options = options
    this.#parked = new Set(options.parked)
  }

  /** Milliseconds since the epoch at which the next waiting key is due; undefined when none waits. */
  get nextDueMillis(): number | undefined {
    let next: number | undefined
    for (const { dueMillis } of this.#waiting.values()) {
      if (next === undefined || dueMillis < next) next = dueMillis
    }
    return next
  }

  /** Takes new messages in. Returns those that may be sent now, and those whose key is parked. */
  admit(deliveries: ReadonlyArray<Delivery>): {
    readonly send: Array<Delivery>
    readonly parked: Array<Delivery>
  } {
    if (this.#waiting.size === 0 && this.#parked.size === 0) return { send: [...deliveries], parked: [] }
    const send: Array<Delivery> = []
    const parked: Array<Delivery> = []
    for (const delivery of deliveries) {
      const key = this.#options.orderKey(delivery.message)
      const waiting = this.#waiting.get(key)
      if (this.#parked.has(key)) parked.push(delivery)
      else if (waiting === undefined) send.push(delivery)
      else waiting.deliveries.push(delivery)
    }
    return { send, parked }
  }

  /** Takes out the messages of keys that are due, whole keys at a time, until there are `limit` or more. */
  takeDue(nowMillis: number, limit: number): Array<Delivery> {
    const due: Array<Delivery> = []
    for (const [key, waiting] of this.#waiting) {
      if (due.length >= limit) break
      if (waiting.dueMillis > nowMillis) continue
      this.#waiting.delete(key)
      this.#attempts.set(key, waiting.attempts)
      due.push(...waiting.deliveries)
    }
    return due
  }

  /** Notes what the sink said of a batch. `randoms` are as many numbers, uniform in [0, 1), as there are rejections. */
  settle(
    batch: ReadonlyArray<Delivery>,
    rejections: ReadonlyArray<Rejection>,
    nowMillis: number,
    randoms: ReadonlyArray<number>
  ): Outcome {
    if (rejections.length === 0) {
      if (this.#attempts.size > 0) this.#attempts.clear()
      return { confirmed: batch, dead: [], parked: [] }
    }
    const { confirmed, stopped } = this.#splitAtFirstRejection(batch, rejections)
    const outcome = { confirmed, dead: [] as Array<Outcome["dead"][number]>, parked: [] as Array<Delivery> }
    let drawn = 0
    for (const [key, { rejection, deliveries }] of stopped) {
      this.#stop(key, rejection, deliveries, nowMillis, randoms[drawn++] ?? 0, outcome)
    }
    this.#attempts.clear()
    return outcome
  }

  /** A key stops at its first refused message; what follows it of that key counts as not sent. */
  #splitAtFirstRejection(batch: ReadonlyArray<Delivery>, rejections: ReadonlyArray<Rejection>) {
    const byId = new Map(rejections.map((rejection) => [rejection.messageId, rejection]))
    const confirmed: Array<Delivery> = []
    const stopped = new Map<string, { readonly rejection: Rejection; readonly deliveries: Array<Delivery> }>()
    for (const delivery of batch) {
      const key = this.#options.orderKey(delivery.message)
      const rejection = byId.get(delivery.message.id)
      const stop = stopped.get(key)
      if (stop !== undefined) stop.deliveries.push(delivery)
      else if (rejection !== undefined) stopped.set(key, { rejection, deliveries: [delivery] })
      else {
        // Attempts belong to the first message of a key: once that is through, the next starts anew.
        this.#attempts.delete(key)
        confirmed.push(delivery)
      }
    }
    return { confirmed, stopped }
  }

  #stop(
    key: string,
    rejection: Rejection,
    deliveries: Array<Delivery>,
    nowMillis: number,
    random: number,
    outcome: { readonly dead: Array<Outcome["dead"][number]>; readonly parked: Array<Delivery> }
  ): void {
    const { retry, afterDeadLetter } = this.#options
    const state = DeliveryState.rejected(this.#attempts.get(key) ?? 0, rejection, retry, nowMillis, random)
    if (state._tag === "Waiting") {
      this.#waiting.set(key, { deliveries, attempts: state.attempts, dueMillis: state.dueMillis })
      return
    }
    const [first, ...rest] = deliveries
    if (first === undefined || state._tag !== "Dead") return
    outcome.dead.push({ delivery: first, rejection, attempts: state.attempts })
    if (afterDeadLetter === "park") {
      this.#parked.add(key)
      outcome.parked.push(...rest)
    } else if (rest.length > 0) {
      this.#waiting.set(key, { deliveries: rest, attempts: 0, dueMillis: nowMillis })
    }
  }
}
