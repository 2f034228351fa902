import { type Message, Sink } from "@twinbox/outbox"
import { Effect } from "effect"
import type { Dice } from "./Dice.ts"
import type { Judge } from "./Judge.ts"
import type { Machine } from "./Machine.ts"
import type { Network } from "./Network.ts"
import type { SinkSettings } from "./Scenario.ts"

/** What is special about some messages, at one sink. */
export interface Nature {
  /** Kills the process that sends it. */
  readonly isPoison: boolean
  /** Every call with it fails. */
  readonly chokes: boolean
  /** Refused so many times; for good: until it is mended. */
  refusals: number
  readonly isRejected: boolean
}

const plain: Nature = { isPoison: false, chokes: false, refusals: 0, isRejected: false }

type Outcome =
  | { readonly _tag: "Answer"; readonly rejections: ReadonlyArray<Sink.Rejection> }
  | { readonly _tag: "Error"; readonly reason: Sink.SinkErrorReason; readonly retryAfterMillis?: number }
  | { readonly _tag: "Silence" }
  | { readonly _tag: "Defect" }

/** What a sink writes to, somewhere outside. All relays share it. */
export class OutsideSink {
  readonly settings: SinkSettings
  readonly #judge: Judge
  readonly #dice: Dice
  readonly #natures = new Map<string, Nature>()
  awayUntil = 0
  /** People have seen to it that nothing is refused any more. */
  isMended = false

  constructor(settings: SinkSettings, judge: Judge, dice: Dice) {
    this.settings = settings
    this.#judge = judge
    this.#dice = dice
  }

  natureOf(id: string): Nature {
    return this.#natures.get(id) ?? plain
  }

  setNature(id: string, nature: Partial<Nature>): void {
    this.#natures.set(id, { ...plain, ...nature })
  }

  /** The sink as the process of one machine has it. `killed` is told when a message kills that process. */
  sinkOf(machine: Machine, network: Network, killed: () => void): Sink.Sink {
    const { name, topics } = this.settings
    return {
      name,
      topics,
      deliver: (batch) =>
        Effect.async<ReadonlyArray<Sink.Rejection>, Sink.SinkError>((resume) => {
          const { timeline } = machine
          this.#judge.sinkCalled(machine, this.settings, batch)
          if (batch.some(({ id }) => this.natureOf(id).isPoison)) {
            this.#judge.killed(name, batch)
            return killed()
          }
          const isSlow = network.hits("sinkSlow", 0.04)
          const there =
            this.#dice.between(0.2, 4) + (isSlow ? this.#dice.between(0, 2 * this.settings.timeoutMillis) : 0)
          timeline.after(there, () => {
            const outcome = this.#take(batch, network)
            this.#noteRefused(batch, outcome)
            if (outcome._tag === "Silence") return
            timeline.after(this.#dice.between(0.2, 4), () =>
              machine.post(() => resume(this.#replyOf(outcome)))
            )
          })
        })
    }
  }

  /** A message by itself can be blamed for a call that fails. */
  #noteRefused(batch: ReadonlyArray<Message.Message>, outcome: Outcome): void {
    const ids = new Set(outcome._tag === "Answer" ? outcome.rejections.map(({ messageId }) => messageId) : [])
    const isBlamed = outcome._tag !== "Answer" && batch.length === 1
    this.#judge.refused(this.settings.name, isBlamed ? batch : batch.filter(({ id }) => ids.has(id)))
  }

  #replyOf(outcome: Exclude<Outcome, { readonly _tag: "Silence" }>) {
    if (outcome._tag === "Answer") return Effect.succeed(outcome.rejections)
    if (outcome._tag === "Defect") return Effect.die(new Error("a defect in the sink"))
    const { _tag, ...error } = outcome
    return Effect.fail(new Sink.SinkError({ sink: this.settings.name, ...error, cause: "injected" }))
  }

  #take(batch: ReadonlyArray<Message.Message>, network: Network): Outcome {
    const dice = this.#dice
    if (network.machine.timeline.now < this.awayUntil) {
      return dice.chance(0.2)
        ? { _tag: "Silence" }
        : { _tag: "Error", reason: dice.pick(["Unavailable", "NotReady"] as const) }
    }
    if (network.hits("throttling", 0.03)) {
      return { _tag: "Error", reason: "Throttled", retryAfterMillis: dice.whole(10, 2_000) }
    }
    if (batch.some(({ id }) => this.natureOf(id).chokes && !this.isMended)) {
      this.#apply(batch.slice(0, dice.whole(0, batch.length)))
      return { _tag: "Error", reason: "Failed" }
    }
    if (network.hits("sinkCalls", 0.08)) return this.#fail(batch)
    return { _tag: "Answer", rejections: this.#apply(batch, network) }
  }

  /** The call fails, before, in the middle of or after its work. */
  #fail(batch: ReadonlyArray<Message.Message>): Outcome {
    const dice = this.#dice
    this.#apply(batch.slice(0, dice.whole(0, batch.length)))
    if (dice.chance(0.1)) return { _tag: "Silence" }
    if (dice.chance(0.2)) return { _tag: "Defect" }
    return { _tag: "Error", reason: dice.pick(["Unavailable", "Failed", "Timeout", "NotReady"] as const) }
  }

  #apply(batch: ReadonlyArray<Message.Message>, network?: Network): ReadonlyArray<Sink.Rejection> {
    const rejections: Array<Sink.Rejection> = []
    const stopped = new Set<string>()
    for (const message of batch) {
      const orderKey = message.topic === "reminders" ? message.id : message.key
      if (stopped.has(orderKey)) continue
      const refusal = this.#refusalOf(message, network)
      if (refusal === undefined) this.#judge.received(this.settings.name, message)
      else {
        stopped.add(orderKey)
        rejections.push({ messageId: message.id, error: "refused by the simulation", ...refusal })
      }
    }
    return rejections
  }

  #refusalOf({ id }: Message.Message, network: Network | undefined) {
    const nature = this.natureOf(id)
    if (this.isMended) return undefined
    if (nature.isRejected || nature.chokes) return { reason: "Rejected", retryable: false }
    if (nature.refusals > 0) {
      nature.refusals -= 1
      return { reason: "NotYet", retryable: true }
    }
    return network?.hits("refusals", 0.03) === true ? { reason: "NotNow", retryable: true } : undefined
  }
}
