import { Effect } from "effect"
import type { Message } from "./Message.ts"
import { storedMessage } from "./OutboxMemoryState.ts"
import type { Stored } from "./OutboxStore.ts"

const batchSize = 100

/** One open feed. */
export class MemoryFeed {
  readonly #slots: ReadonlySet<number>
  readonly #inserts: Array<Message> = []
  readonly #arrived = Effect.unsafeMakeLatch()

  constructor(slots: ReadonlyArray<number>) {
    this.#slots = new Set(slots)
  }

  offer(message: Message): void {
    if (!this.#slots.has(message.slot)) return
    this.#inserts.push(message)
    this.#arrived.unsafeOpen()
  }

  /** Waits a second at most. Nothing is taken while it waits, so that an interruption loses nothing. */
  readonly next: Effect.Effect<ReadonlyArray<Stored>> = Effect.suspend(() =>
    Effect.timeoutOption(this.#arrived.await, "1 second")
  ).pipe(
    Effect.map(() => {
      const batch = this.#inserts.splice(0, batchSize).map((message) => storedMessage(message))
      if (this.#inserts.length === 0) this.#arrived.unsafeClose()
      return batch
    })
  )
}
