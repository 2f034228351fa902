import { type Message, OutboxMemory, Slot } from "@twinbox/outbox"
import { Effect } from "effect"
import type { Bug } from "./Planted.ts"
import { Dice } from "./Dice.ts"
import { EventLog } from "./EventLog.ts"
import { Judge, type Violation } from "./Judge.ts"
import { forgetFibers, Machine } from "./Machine.ts"
import { Network, StoreWeather } from "./Network.ts"
import { OutsideSink } from "./OutsideSink.ts"
import { People } from "./People.ts"
import { RelayProcess } from "./RelayProcess.ts"
import * as RelayStore from "./RelayStore.ts"
import { draw, type Fault, type Scenario } from "./Scenario.ts"
import { Spinning, Timeline } from "./Timeline.ts"
import { Writers } from "./Writers.ts"

export interface Options {
  readonly bug?: Bug
  /** Faults that are not to happen, to find out what a violation needs. */
  readonly without?: ReadonlySet<string>
  /** Is given every event. */
  readonly show?: (line: string) => void
}

export interface Outcome {
  readonly seed: number
  readonly violations: ReadonlyArray<Violation>
  /** Equal for runs that did the same. */
  readonly hash: string
  readonly events: number
  readonly messages: number
  readonly duplicates: number
  /** Calls of sinks by a relay that others might have taken over from: allowed where its clock stood. */
  readonly lateCalls: number
  readonly virtualMillis: number
  readonly scenario: Scenario
}

/** How long an outbox may take to come to rest when nothing goes wrong any more. */
const restWithin = 180_000

/** Only sweeps find what is no message, and one that took long is followed by a pause of 100 times as long. */
const restWithCorruptionWithin = 1_800_000

/** How long new messages may take then; a relay that has just lost its feed opens the next after two seconds or so. */
const probeWithin = 5_000

/** How long a relay may take to stop cleanly, faults and all. */
const stopWithin = 30_000

class Simulation {
  readonly scenario: Scenario
  readonly timeline: Timeline
  readonly log: EventLog
  readonly judge: Judge
  readonly #dice: Dice
  readonly #seeds: Dice
  readonly #weather: StoreWeather
  readonly #server: Machine
  readonly #memory: OutboxMemory.OutboxMemory
  readonly #sinks: ReadonlyArray<OutsideSink>
  readonly #writers: Writers
  readonly #people: People
  readonly #bug: Bug | undefined
  #processes: Array<RelayProcess> = []
  #started = 0
  #isStormy = true
  #isBeforeLateSink = false
  #duplicates = 0

  constructor(seed: number, options: Options) {
    this.scenario = draw(seed, options.without, options.bug?.needs)
    this.#bug = options.bug
    const order = new Dice(seed, "order")
    this.timeline = new Timeline((tasks) => order.whole(0, tasks - 1))
    this.log = new EventLog(options.show)
    this.#dice = new Dice(seed, "fate")
    this.#seeds = new Dice(seed, "seeds")
    this.#weather = new StoreWeather(this.scenario.faults)
    this.#server = new Machine("server", this.timeline, { skewMillis: 0, rate: 1 })
    const memory = Effect.runSync(
      Effect.withClock(OutboxMemory.make({ keepDelivered: this.scenario.keepDelivered }), this.#server.clock)
    )
    this.#memory = { ...memory, admin: this.#bug?.admin?.(memory.admin) ?? memory.admin }
    this.judge = new Judge(
      this.timeline,
      this.log,
      this.scenario.sinks,
      (message, sink) => this.#isPoison(message, sink),
      this.scenario.leaseMillis
    )
    this.#sinks = this.scenario.sinks.map(
      (settings) => new OutsideSink(settings, this.judge, new Dice(seed, `sink ${settings.name}`))
    )
    this.#writers = new Writers(
      this.#memory,
      this.judge,
      this.scenario,
      this.#sinks,
      new Dice(seed, "writers"),
      this.#server.clock
    )
    this.#people = new People(this.#memory, this.judge, this.scenario, new Dice(seed, "people"))
  }

  #isPoison(message: Message.Message, sink: string): boolean {
    return this.#sinks.some((one) => one.settings.name === sink && one.natureOf(message.id).isPoison)
  }

  #has(fault: Fault): boolean {
    return this.scenario.faults.has(fault)
  }

  get #living(): ReadonlyArray<RelayProcess> {
    return this.#processes.filter(({ machine }) => !machine.isDead)
  }

  /** Starts a process with a relay. */
  #start(hasAllSinks: boolean): void {
    this.#started += 1
    const name = `relay${this.#started}`
    const seeds = this.#seeds
    const clock = this.#has("skew")
      ? { skewMillis: seeds.between(-600_000, 600_000), rate: seeds.between(0.99, 1.01) }
      : { skewMillis: 0, rate: 1 }
    const machine = new Machine(name, this.timeline, clock)
    const dice = new Dice(this.scenario.seed, `network ${this.#started}`)
    const network = new Network(machine, this.#weather, dice, this.log)
    const watched = this.judge.watch(this.#memory.store, machine)
    const planted = this.#bug?.store?.(watched, this.judge) ?? watched
    const sinks = hasAllSinks ? this.#sinks : this.#sinks.slice(0, -1)
    const process = new RelayProcess(
      {
        machine,
        network,
        store: RelayStore.make(planted, network, this.#server),
        sinks: sinks.map((sink) =>
          sink.sinkOf(machine, network, () => this.#end(process, "killed by a message"))
        ),
        seed: seeds.whole(0, 1e9)
      },
      this.scenario
    )
    this.#processes.push(process)
    this.judge.note(name, "starts")
    process.start((failure) => {
      this.judge.note(name, `ends: ${failure ?? "stopped"}`)
      if (failure !== undefined) this.judge.accuse("relay failed", `${name}: ${failure}`)
      if (failure !== undefined || !process.isStopping) this.#startLater()
    })
  }

  #startLater(): void {
    this.timeline.after(this.#dice.between(100, 3_000), () => {
      if (this.#living.length < this.scenario.relays) this.#start(this.#drawAllSinks())
    })
  }

  #drawAllSinks(): boolean {
    if (!this.#isStormy || this.#sinks.length === 1) return true
    if (this.#isBeforeLateSink) return false
    return !this.#has("missingSinks") || this.#dice.chance(0.5)
  }

  #crash(process: RelayProcess): void {
    this.judge.mayHaveDied(process.machine)
    this.#end(process, "crashes")
  }

  #end(process: RelayProcess, why: string): void {
    this.judge.note(process.machine.name, why)
    process.machine.crash()
    this.#startLater()
  }

  #pause(process: RelayProcess): void {
    const { machine } = process
    if (!machine.isRunning) return
    const stands = this.#has("standingClocks") && this.#dice.chance(0.5)
    this.judge.note(machine.name, "pauses")
    this.judge.mayHaveDied(machine)
    machine.pause()
    this.timeline.after(this.#dice.between(10, 3 * this.scenario.leaseMillis), () => {
      this.judge.note(machine.name, stands ? "resumes where it was" : "resumes")
      machine.resume(stands)
    })
  }

  #stop(process: RelayProcess): void {
    const { machine } = process
    if (process.isStopping) return
    this.judge.note(machine.name, "is to stop")
    process.stop()
    // The worst moment for a pause: the slots are half given back.
    if (this.#isStormy && this.#has("pauses") && this.#dice.chance(0.3)) {
      this.timeline.after(this.#dice.between(0, this.scenario.drainMillis), () => this.#pause(process))
    }
    this.timeline.after(stopWithin, () => {
      if (!machine.isDead) this.judge.accuse("no progress", `${machine.name} does not stop`)
    })
  }

  /** Something goes wrong. */
  #strike(): void {
    const dice = this.#dice
    const possible = this.#blows.filter(([fault]) => this.#has(fault))
    if (possible.length > 0) dice.pick(possible)[1]()
  }

  readonly #withProcess = (act: (process: RelayProcess) => void) => () => {
    const living = this.#living
    if (living.length > 0) act(this.#dice.pick(living))
  }

  readonly #blows: ReadonlyArray<readonly [Fault, () => void]> = [
    ["crashes", this.#withProcess((process) => this.#crash(process))],
    ["pauses", this.#withProcess((process) => this.#pause(process))],
    [
      "stops",
      () => {
        const hasRoom = this.#living.length < this.scenario.relays
        if (hasRoom && this.#dice.chance(0.6)) this.#start(this.#drawAllSinks())
        else if (this.#living.length > 1) this.#withProcess((process) => this.#stop(process))()
      }
    ],
    ["storeAway", () => void (this.#weather.awayUntil = this.timeline.now + this.#dice.between(50, 5_000))],
    [
      "cuts",
      this.#withProcess(
        ({ network }) =>
          void (network.cutUntil = this.timeline.now + this.#dice.between(50, 2 * this.scenario.leaseMillis))
      )
    ],
    [
      "sinkAway",
      () => void (this.#dice.pick(this.#sinks).awayUntil = this.timeline.now + this.#dice.between(50, 8_000))
    ],
    ["people", () => this.#people.tidy()],
    ["replays", () => this.#people.replay()],
    ["corruption", () => this.#corrupt()]
  ]

  #corrupt(): void {
    const id = `corrupt${this.#seeds.id()}`
    const slot = Slot.ofKey(this.#dice.pick(this.scenario.keys))
    this.judge.note("writer", `${id} in slot ${slot}`)
    Effect.runSync(this.#memory.insertCorrupt(id, slot))
  }

  #every(millis: number, act: () => void): void {
    const again = () => {
      if (!this.#isStormy) return
      act()
      this.timeline.after(this.#dice.between(0, 2 * millis), again)
    }
    this.timeline.after(this.#dice.between(0, millis), again)
  }

  /** Sinks are known before anything is written, so that all of it is for all of them; but for one that comes late. */
  #registerSinks(): void {
    const { sinks, stormMillis } = this.scenario
    this.#isBeforeLateSink = this.#has("lateSink") && sinks.length > 1
    const known = this.#isBeforeLateSink ? sinks.slice(0, -1) : sinks
    const registered = known.map(({ name, topics }) => ({
      name,
      topics: topics.map((topic) => topic.name),
      isMirror: false
    }))
    Effect.runSync(this.#memory.store.registerSinks(registered))
    this.judge.knownFromTheStart(known.map(({ name }) => name))
    if (this.#isBeforeLateSink) this.timeline.after(stormMillis / 3, () => this.#addLateSink())
  }

  #addLateSink(): void {
    this.#isBeforeLateSink = false
    this.judge.note("people", "add a sink")
    for (const process of this.#living) {
      this.timeline.after(this.#dice.between(0, this.scenario.stormMillis / 3), () => {
        if (process.machine.isDead || !this.#isStormy) return
        this.#stop(process)
        this.#start(true)
      })
    }
  }

  run(): void {
    const { faultEvery, relays, stormMillis, writeEvery } = this.scenario
    this.#registerSinks()
    for (let at = 0; at < relays; at++) this.#start(this.#drawAllSinks())
    this.#every(writeEvery, () => {
      if (!this.#writers.isDone) this.#writers.write()
    })
    this.#every(faultEvery, () => this.#strike())
    this.timeline.runUntil(() => false, stormMillis, stormMillis)
    this.#calm()
    if (this.#rest("what is not blocked", () => this.#isDrained())) this.#finish()
    this.#duplicates = this.judge.conclude(this.#people.letters(), (sink) => this.#people.behind(sink))
  }

  outcome(): Outcome {
    return {
      seed: this.scenario.seed,
      scenario: this.scenario,
      violations: this.judge.violations,
      hash: this.log.hash,
      events: this.log.events,
      messages: this.judge.committed.size,
      duplicates: this.#duplicates,
      lateCalls: this.judge.lateCalls,
      virtualMillis: this.timeline.now
    }
  }

  /** Nothing goes wrong any more, but for messages that are what they are. */
  #calm(): void {
    this.judge.note("judge", "calm")
    this.#isStormy = false
    this.#weather.isCalm = true
    this.#weather.awayUntil = 0
    for (const sink of this.#sinks) sink.awayUntil = 0
    for (const process of this.#living) {
      process.network.cutUntil = 0
      process.machine.resume(false)
      if (process.sinkNames.length < this.#sinks.length) this.#stop(process)
    }
    if (!this.#living.some((process) => !process.isStopping)) this.#start(true)
  }

  #rest(what: string, isDone: () => boolean): boolean {
    const within = this.#has("corruption") ? restWithCorruptionWithin : restWithin
    const isAtRest = this.timeline.runUntil(() => isDone() && this.#isOwned(), 500, within)
    if (!isAtRest) this.judge.accuse("no progress", `${what}: ${this.#describe()}`)
    return isAtRest
  }

  /** People have mended what refused messages; everything that waits for them goes on, and new messages flow. */
  #finish(): void {
    this.judge.note("judge", "mended")
    for (const sink of this.#sinks) sink.isMended = true
    const isDone = () => {
      // What was on its way, or waited behind a message that kills, may die after the others were requeued.
      if (this.#people.letters().length > 0) this.#people.tidyUp()
      return this.#isDrained() && this.#people.letters().length === 0
    }
    if (!this.#rest("what was requeued", () => isDone() && this.#isFlowing())) return
    this.#writers.probe()
    const isQuick = this.timeline.runUntil(isDone, 50, probeWithin)
    if (!isQuick) this.judge.accuse("no progress", `new messages: ${this.#describe()}`)
  }

  #isDrained(): boolean {
    const stats = Effect.runSync(this.#memory.store.stats)
    if (stats.ready > 0 || stats.scheduled > 0) return false
    return this.scenario.sinks.every(({ name }) => this.#people.behind(name).size === 0)
  }

  #isOwned(): boolean {
    return Slot.all.every((slot) => {
      const owner = this.judge.ownership(slot)?.owner
      const machine = owner === undefined ? undefined : this.judge.machineOf(owner)
      return machine !== undefined && !machine.isDead
    })
  }

  /** Every relay takes messages straight from its feed, and nothing is left in its memory. A sink counts as away until the next call. */
  #isFlowing(): boolean {
    return this.#living.every((process) => {
      const status = process.status()
      return (
        status !== undefined &&
        status.mode !== "catching-up" &&
        status.inFlight === 0 &&
        status.sinks.every(({ parkedKeys, state }) => state !== "behind" && parkedKeys === 0)
      )
    })
  }

  #describe(): string {
    const stats = Effect.runSync(this.#memory.store.stats)
    const behind = this.scenario.sinks.map(
      ({ name }) => `${name}: ${[...this.#people.behind(name)].join(" ")}`
    )
    const relays = this.#living.map(
      (process) => `${process.machine.name} ${JSON.stringify(process.status())}`
    )
    const counts = `ready ${stats.ready}, behind ${stats.behind}, dead ${stats.dead}, scheduled ${stats.scheduled}`
    return `${counts}; ${behind.join("; ")}; owned ${this.#isOwned()}; ${relays.join("; ")}`
  }
}

/** Runs one schedule; everything about it follows from the seed. */
export const run = (seed: number, options: Options = {}): Outcome => {
  const simulation = new Simulation(seed, options)
  try {
    simulation.run()
  } catch (error) {
    if (!(error instanceof Spinning)) throw error
    simulation.judge.accuse("no progress", error.message)
  } finally {
    forgetFibers()
  }
  return simulation.outcome()
}
