import { type OutboxAdmin, type OutboxMemory, Slot } from "@twinbox/outbox"
import { Effect } from "effect"
import type { Dice } from "./Dice.ts"
import type { Judge } from "./Judge.ts"
import type { Scenario } from "./Scenario.ts"
import { customers } from "./Topics.ts"

/** Those who look after the outbox. */
export class People {
  readonly #memory: OutboxMemory.OutboxMemory
  readonly #judge: Judge
  readonly #scenario: Scenario
  readonly #dice: Dice

  constructor(memory: OutboxMemory.OutboxMemory, judge: Judge, scenario: Scenario, dice: Dice) {
    this.#memory = memory
    this.#judge = judge
    this.#scenario = scenario
    this.#dice = dice
  }

  letters(filter: OutboxAdmin.DeadFilter = {}): ReadonlyArray<OutboxAdmin.ListedDeadLetter> {
    return Effect.runSync(this.#memory.admin.deadLetters({ filter, limit: 1_000 })).letters
  }

  /** Requeues or discards some dead letters. */
  tidy(): void {
    const dice = this.#dice
    const letters = this.letters()
    if (letters.length === 0) return
    const { key, messageId, sink } = dice.pick(letters)
    const filter = dice.pick<OutboxAdmin.DeadFilter>([
      { messageIds: [messageId] },
      key === undefined ? {} : { key },
      { sink }
    ])
    if (dice.chance(0.7)) this.requeue(filter)
    else this.discard(filter)
  }

  /** Has everything sent again, but for what never can be. */
  tidyUp(): void {
    this.discard({ reason: "KilledRelay" })
    this.discard({ reason: "Corrupt" })
    this.requeue({})
  }

  requeue(filter: OutboxAdmin.DeadFilter): void {
    Effect.runSync(this.#memory.admin.requeue(filter))
    this.#judge.note("people", `requeue ${JSON.stringify(filter)}`)
  }

  discard(filter: OutboxAdmin.DeadFilter): void {
    this.#judge.discarded(this.letters(filter))
    Effect.runSync(this.#memory.admin.discard(filter))
  }

  /** Has what was delivered sent to a sink once more. */
  replay(): void {
    const sink = this.#dice.pick(this.#scenario.sinks).name
    const key = this.#dice.pick(this.#scenario.keys)
    const before = this.behind(sink)
    Effect.runSync(this.#memory.admin.replay({ sink, key, topic: customers.name }))
    this.#judge.replayed(
      [...this.behind(sink)].filter((id) => !before.has(id)),
      sink
    )
  }

  /** Ids of what a sink owes, but for what waits for a person. */
  behind(sink: string): ReadonlySet<string> {
    const ids = new Set<string>()
    const read = Effect.gen(this, function* () {
      const cursor = yield* this.#memory.store.readBehind({ sink, slots: Slot.all })
      for (let batch = yield* cursor.next; batch.length > 0; batch = yield* cursor.next) {
        for (const record of batch) if (record._tag === "Message") ids.add(record.message.id)
      }
    })
    Effect.runSync(Effect.scoped(read))
    return ids
  }
}
