import { OutboxError } from "@twinbox/outbox"
import { Effect, type Exit } from "effect"
import type { Dice } from "./Dice.ts"
import type { EventLog } from "./EventLog.ts"
import type { Machine } from "./Machine.ts"
import type { Fault } from "./Scenario.ts"

type Failure = OutboxError.OutboxError

const unavailable = (operation: string) =>
  new OutboxError.OutboxError({ reason: "Unavailable", operation, cause: "injected" })

/** What all the ways to the store have in common. */
export class StoreWeather {
  readonly faults: ReadonlySet<Fault>
  /** Until then the store does not answer. */
  awayUntil = 0
  isCalm = false

  constructor(faults: ReadonlySet<Fault>) {
    this.faults = faults
  }

  has(fault: Fault): boolean {
    return !this.isCalm && this.faults.has(fault)
  }
}

/** Writes that can be done twice without anybody knowing: those that are no transaction. */
const repeatable: ReadonlySet<string> = new Set(["confirm", "beat", "promote", "registerSinks"])

/** Writes of one relay that go one after another, through one session. */
const serial: ReadonlySet<string> = new Set([
  "settle",
  "settleBehind",
  "mark",
  "release",
  "clearSuspects",
  "sweepOrphans",
  "claim"
])

/** The way of one process to the store, with all that can happen on it. */
export class Network {
  readonly machine: Machine
  readonly #weather: StoreWeather
  readonly #dice: Dice
  readonly #log: EventLog
  /** Until then nothing gets through. */
  cutUntil = 0
  #sessionFreeAt = 0

  constructor(machine: Machine, weather: StoreWeather, dice: Dice, log: EventLog) {
    this.machine = machine
    this.#weather = weather
    this.#dice = dice
    this.#log = log
  }

  /** Milliseconds that a message takes in one direction. */
  delay(): number {
    const dice = this.#dice
    if (this.#weather.has("slowStore") && dice.chance(0.05)) return dice.between(10, 2_500)
    return dice.between(0.2, 3)
  }

  get isCut(): boolean {
    return this.machine.timeline.now < Math.max(this.cutUntil, this.#weather.awayUntil)
  }

  hits(fault: Fault, probability: number): boolean {
    return this.#weather.has(fault) && this.#dice.chance(probability)
  }

  /** Calls the store. `work` is done in one step, some time after the call, also when nobody waits for its reply any more. */
  call<A>(operation: string, work: Effect.Effect<A, Failure>): Effect.Effect<A, Failure> {
    return Effect.async((resume) => {
      const { timeline } = this.machine
      const isLost = this.hits("store", 0.03)
      const losesReply = this.hits("store", 0.03)
      const isRepeated = repeatable.has(operation) && this.hits("store", 0.02)
      const answer = (exit: Exit.Exit<A, Failure>, how: string) =>
        void timeline.after(this.delay(), () => {
          if (this.machine.isDead) return
          this.#log.note(timeline.now, this.machine.name, `${operation} ${how}`)
          this.machine.post(() => resume(exit))
        })
      const fail = (how: string) => answer(Effect.runSyncExit(Effect.fail(unavailable(operation))), how)
      const arrive = () => {
        if (timeline.now < this.cutUntil)
          return void timeline.after(this.#dice.between(50, 1_000), () => fail("cut"))
        if (timeline.now < this.#weather.awayUntil) return fail("away")
        if (isLost) return fail("lost")
        const exit = Effect.runSyncExit(work)
        if (isRepeated) Effect.runSyncExit(work)
        return losesReply ? fail("reply lost") : answer(exit, exit._tag)
      }
      const arrivesIn = this.delay()
      if (!serial.has(operation)) return void timeline.after(arrivesIn, arrive)
      this.#sessionFreeAt = Math.max(timeline.now + arrivesIn, this.#sessionFreeAt)
      return void timeline.after(this.#sessionFreeAt - timeline.now, arrive)
    })
  }
}
