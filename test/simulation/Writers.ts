import { Message, Outbox, type OutboxMemory, OutboxStore } from "@twinbox/outbox"
import { type Clock, Effect } from "effect"
import type { Dice } from "./Dice.ts"
import type { Judge } from "./Judge.ts"
import type { OutsideSink } from "./OutsideSink.ts"
import type { Fault, Scenario } from "./Scenario.ts"
import { audits, customers, reminders } from "./Topics.ts"

/** It kills several processes before it is found, and each takes a while to be missed. */
const maxPoisons = 1

/** Those who write to the outbox: in transactions, some of which abort. */
export class Writers {
  readonly #memory: OutboxMemory.OutboxMemory
  readonly #judge: Judge
  readonly #scenario: Scenario
  readonly #sinks: ReadonlyArray<OutsideSink>
  readonly #dice: Dice
  readonly #clock: Clock.Clock
  #written = 0
  #poisons = 0

  constructor(
    memory: OutboxMemory.OutboxMemory,
    judge: Judge,
    scenario: Scenario,
    sinks: ReadonlyArray<OutsideSink>,
    dice: Dice,
    clock: Clock.Clock
  ) {
    this.#memory = memory
    this.#judge = judge
    this.#scenario = scenario
    this.#sinks = sinks
    this.#dice = dice
    this.#clock = clock
  }

  get isDone(): boolean {
    return this.#written >= this.#scenario.messages
  }

  #has(fault: Fault): boolean {
    return this.#scenario.faults.has(fault)
  }

  /** One transaction. */
  write(): void {
    const dice = this.#dice
    const size = this.#has("bursts") && dice.chance(0.1) ? dice.whole(10, 40) : dice.whole(1, 3)
    const drafts = Array.from({ length: size }, () => this.#drafts()).flat()
    this.#run(drafts, dice.chance(0.1))
  }

  /** One message of every key, after all is well again. */
  probe(): void {
    this.#run(
      this.#scenario.keys.map((key) => ({ draft: this.#draft(customers, key) })),
      false
    )
  }

  #drafts(): ReadonlyArray<Outbox.Sequenced> {
    const dice = this.#dice
    const { keys } = this.#scenario
    const key = dice.chance(0.5) ? (keys[0] as string) : dice.pick(keys)
    if (this.#has("scheduling") && dice.chance(0.2)) {
      const isLater = dice.chance(0.6)
      const availableAt = this.#clock.unsafeCurrentTimeMillis() + dice.whole(-1_000, 5_000)
      return [{ draft: this.#natural(this.#draft(reminders, key, isLater ? availableAt : undefined)) }]
    }
    const topic = this.#has("mixedTopics") && dice.chance(0.15) ? audits : customers
    return [{ draft: this.#natural(this.#draft(topic, key)) }]
  }

  #draft(topic: Parameters<typeof Message.fromText>[0], key: string, availableAt?: number): Message.Draft {
    this.#written += 1
    return Message.fromText(topic, key, JSON.stringify({ revision: this.#written }), {
      id: this.#dice.id(),
      ...(availableAt === undefined ? {} : { availableAt })
    })
  }

  /** Some messages are hard on some sinks. */
  #natural(draft: Message.Draft): Message.Draft {
    const dice = this.#dice
    for (const sink of this.#sinks) {
      if (this.#has("poison") && this.#poisons < maxPoisons && dice.chance(0.02)) {
        this.#poisons += 1
        sink.setNature(draft.id, { isPoison: true })
      } else if (this.#has("chokes") && dice.chance(0.03)) sink.setNature(draft.id, { chokes: true })
      else if (this.#has("rejections") && dice.chance(0.05)) sink.setNature(draft.id, { isRejected: true })
      else if (this.#has("refusals") && dice.chance(0.05))
        sink.setNature(draft.id, { refusals: dice.whole(1, 3) })
    }
    return draft
  }

  #run(drafts: ReadonlyArray<Outbox.Sequenced>, aborts: boolean): void {
    const { store, transact } = this.#memory
    const body = Effect.gen(this, function* () {
      const outbox = yield* Outbox.make()
      const messages = yield* outbox.appendAll(drafts)
      if (aborts) return yield* Effect.fail("abort" as const)
      return messages
    })
    const exit = Effect.runSyncExit(
      transact(body).pipe(
        Effect.provideService(OutboxStore.OutboxStore, store),
        Effect.withClock(this.#clock)
      )
    )
    if (exit._tag === "Success") this.#judge.committedNow(exit.value)
    else if (!aborts) this.#judge.accuse("relay failed", `a writer: ${exit.cause.toString()}`)
  }
}
