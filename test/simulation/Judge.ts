import type { Message, OutboxAdmin, OutboxStore } from "@twinbox/outbox"
import * as DeliveryChecker from "../../packages/testkit/src/DeliveryChecker.ts"
import { Effect } from "effect"
import type { EventLog } from "./EventLog.ts"
import type { Machine } from "./Machine.ts"
import type { Store } from "./RelayStore.ts"
import type { SinkSettings } from "./Scenario.ts"
import type { Timeline } from "./Timeline.ts"

export type BrokenPromise =
  | "lost"
  | "disorder"
  | "never committed"
  | "altered"
  | "deleted before confirmed"
  | "confirmed before received"
  | "call without a lease"
  | "disorder in a call"
  | "innocent killer"
  | "replay lost"
  | "no progress"
  | "relay failed"

/** A promise that was broken. */
export interface Violation {
  readonly promise: BrokenPromise
  readonly at: number
  readonly what: string
}

interface Commit {
  readonly message: Message.Message
  readonly at: number
}

interface Arrival {
  readonly message: Message.Message
  readonly at: number
}

const pairOf = (messageId: string, sink: string) => `${messageId}:${sink}`

/** Deaths of a relay around a message by itself, before which it is not given up on. */
const leastDeaths = 3

/** Sees everything, of the store and of the sinks, and finds what breaks a promise. */
export class Judge {
  readonly violations: Array<Violation> = []
  readonly committed = new Map<string, Commit>()
  readonly #timeline: Timeline
  readonly #log: EventLog
  readonly #sinks: ReadonlyArray<SinkSettings>
  readonly #registeredAt = new Map<string, number>()
  readonly #received = new Map<string, Array<Arrival>>()
  readonly #receivedPairs = new Set<string>()
  /** Owner of each slot, as the store has it. */
  readonly #owners = new Map<number, { readonly owner: string; readonly epoch: number }>()
  readonly #everDead = new Set<string>()
  /** Sent, and not taken. */
  readonly #refused = new Set<string>()
  readonly #discarded = new Set<string>()
  readonly #replays: Array<{ readonly messageId: string; readonly sink: string; readonly at: number }> = []
  /** Machine of each owner. */
  readonly #machines = new Map<string, Machine>()
  /** Marks of each owner that it has not taken back. */
  readonly #marked = new Map<string, Set<string>>()
  readonly #deaths = new Map<string, number>()
  /** So long after a sink was made known there may be relays that have not heard of it. */
  readonly #graceMillis: number
  readonly #poisons: (message: Message.Message, sink: string) => boolean
  lateCalls = 0
  calls = 0

  constructor(
    timeline: Timeline,
    log: EventLog,
    sinks: ReadonlyArray<SinkSettings>,
    poisons: (message: Message.Message, sink: string) => boolean,
    graceMillis: number
  ) {
    this.#timeline = timeline
    this.#log = log
    this.#sinks = sinks
    this.#poisons = poisons
    this.#graceMillis = graceMillis
    for (const { name } of sinks) this.#received.set(name, [])
  }

  accuse(promise: BrokenPromise, what: string): void {
    const at = this.#timeline.now
    this.violations.push({ promise, at, what })
    this.#log.note(at, "judge", `VIOLATION ${promise}: ${what}`)
  }

  note(who: string, what: string): void {
    this.#log.note(this.#timeline.now, who, what)
  }

  #nameOf(messageId: string): string {
    const message = this.committed.get(messageId)?.message
    return message === undefined
      ? messageId
      : `${messageId} (${message.topic} ${message.key} ${message.sequence}.${message.ordinal} slot ${message.slot})`
  }

  #wants(commit: Commit, { name, topics }: SinkSettings): boolean {
    return (
      topics.some((topic) => topic.name === commit.message.topic) &&
      (this.#registeredAt.get(name) ?? Infinity) + this.#graceMillis <= commit.at
    )
  }

  #hasOrGaveUp(messageId: string, sink: string): boolean {
    const pair = pairOf(messageId, sink)
    return this.#receivedPairs.has(pair) || this.#everDead.has(pair)
  }

  /** Sinks that everybody knows before anything is written. */
  knownFromTheStart(names: ReadonlyArray<string>): void {
    for (const name of names) this.#registeredAt.set(name, -Infinity)
  }

  committedNow(messages: ReadonlyArray<Message.Message>): void {
    for (const message of messages) {
      this.committed.set(message.id, { message, at: this.#timeline.now })
      this.note("writer", `commit ${this.#nameOf(message.id)}`)
    }
  }

  /** Who has a slot, by the store. */
  ownership(slot: number): { readonly owner: string; readonly epoch: number } | undefined {
    return this.#owners.get(slot)
  }

  get sinkNames(): ReadonlyArray<string> {
    return this.#sinks.map(({ name }) => name)
  }

  machineOf(owner: string): Machine | undefined {
    return this.#machines.get(owner)
  }

  /** A process stops to live, or others may think so; nobody knows which of its messages had to do with it. */
  mayHaveDied(machine: Machine): void {
    for (const [owner, pairs] of this.#marked) {
      if (this.#machines.get(owner) !== machine) continue
      for (const pair of pairs) this.#countDeath(pair)
    }
  }

  /** A call of a sink kills the process. The other calls of that moment have nothing to do with it. */
  killed(sink: string, batch: ReadonlyArray<Message.Message>): void {
    for (const { id } of batch) this.#countDeath(pairOf(id, sink))
  }

  #countDeath(pair: string): void {
    this.#deaths.set(pair, (this.#deaths.get(pair) ?? 0) + 1)
  }

  /** A relay is about to call a sink. */
  sinkCalled(machine: Machine, sink: SinkSettings, batch: ReadonlyArray<Message.Message>): void {
    this.calls += 1
    const text = batch.map(({ id, key, sequence }) => `${id}=${key}.${sequence}`).join(" ")
    this.note(machine.name, `calls ${sink.name} [${text}]`)
    for (const slot of new Set(batch.map((message) => message.slot))) {
      const owner = this.#owners.get(slot)?.owner
      if (owner !== undefined && this.#machines.get(owner) === machine) continue
      this.lateCalls += 1
      if (!machine.hasStood)
        this.accuse("call without a lease", `${machine.name} calls ${sink.name} for slot ${slot} of ${owner}`)
    }
    this.#checkOrderIn(sink.name, batch)
  }

  #checkOrderIn(sink: string, batch: ReadonlyArray<Message.Message>): void {
    const report = DeliveryChecker.check({ committed: batch, received: batch, orderKey: this.#orderKey })
    if (!DeliveryChecker.isSound(report))
      this.accuse("disorder in a call", `${sink}: ${JSON.stringify(report)}`)
  }

  /** A sink has a message. */
  received(sink: string, message: Message.Message): void {
    this.#received.get(sink)?.push({ message, at: this.#timeline.now })
    this.#receivedPairs.add(pairOf(message.id, sink))
    this.note(sink, `has ${this.#nameOf(message.id)}`)
  }

  /** A sink has not taken a message that it was sent. */
  refused(sink: string, messages: ReadonlyArray<Message.Message>): void {
    for (const { id } of messages) this.#refused.add(pairOf(id, sink))
  }

  #wasRefused(messageId: string, sink: string): boolean {
    const pair = pairOf(messageId, sink)
    return this.#refused.has(pair) || this.#everDead.has(pair)
  }

  #deadNow(letters: ReadonlyArray<OutboxStore.DeadLetter>): void {
    for (const { messageId, reason, sink } of letters) {
      const pair = pairOf(messageId, sink)
      this.#everDead.add(pair)
      this.note("store", `dead ${this.#nameOf(messageId)} at ${sink}: ${reason}`)
      if (reason !== "KilledRelay") continue
      const message = this.committed.get(messageId)?.message
      if (message !== undefined && this.#poisons(message, sink)) continue
      const deaths = this.#deaths.get(pair) ?? 0
      if (deaths < leastDeaths)
        this.accuse("innocent killer", `${this.#nameOf(messageId)} at ${sink}, ${deaths} deaths`)
    }
  }

  discarded(letters: ReadonlyArray<{ readonly messageId: string; readonly sink: string }>): void {
    for (const { messageId, sink } of letters) {
      this.#discarded.add(pairOf(messageId, sink))
      this.note("people", `discard ${this.#nameOf(messageId)} at ${sink}`)
    }
  }

  replayed(messageIds: ReadonlyArray<string>, sink: string): void {
    for (const messageId of messageIds) {
      this.#replays.push({ messageId, sink, at: this.#timeline.now })
      this.note("people", `replay ${this.#nameOf(messageId)} to ${sink}`)
    }
  }

  /** The store, under the judge's eyes. */
  watch(inner: Store, machine: Machine): Store {
    const seen = <A, E, R>(effect: Effect.Effect<A, E, R>, note: (value: A) => void) =>
      Effect.tap(effect, (value) => Effect.sync(() => note(value)))
    return {
      ...inner,
      join: (owner, leaseMillis) =>
        seen(inner.join(owner, leaseMillis), () => {
          this.#machines.set(owner, machine)
          this.#marked.set(owner, new Set())
        }),
      claim: (owner, slots) =>
        seen(inner.claim(owner, slots), (states) => {
          for (const { epoch, slot } of states) this.#owners.set(slot, { owner, epoch })
          if (states.length > 0)
            this.note(
              "store",
              `${owner} has ${states.map(({ slot, suspect }) => `${slot}${suspect ? "!" : ""}`).join(" ")}`
            )
        }),
      expel: (member) =>
        seen(inner.expel(member), (isDone) => this.note("store", `expel ${member.owner} ${isDone}`)),
      release: (lease) =>
        seen(inner.release(lease), () => {
          for (const [slot, epoch] of lease.epochs) {
            const held = this.#owners.get(slot)
            if (held?.owner === lease.owner && held.epoch === epoch) this.#owners.delete(slot)
          }
          this.note("store", `${lease.owner} releases ${[...lease.epochs.keys()].join(" ")}`)
        }),
      mark: (lease, sink, messages, by) =>
        seen(inner.mark(lease, sink, messages, by), () => {
          const marked = this.#marked.get(lease.owner)
          for (const { id } of messages) {
            if (by > 0) marked?.add(pairOf(id, sink))
            // It died, or was thought dead, when the mark was on its way.
            if (by > 0 && !machine.isRunning) this.#countDeath(pairOf(id, sink))
            if (by < 0) marked?.delete(pairOf(id, sink))
          }
          this.note("store", `mark ${by} ${sink} ${messages.map(({ id }) => id).join(" ")}`)
        }),
      registerSinks: (sinks) =>
        seen(inner.registerSinks(sinks), () => {
          for (const { name } of sinks) {
            if (!this.#registeredAt.has(name)) this.#registeredAt.set(name, this.#timeline.now)
          }
        }),
      confirm: (messages) => seen(inner.confirm(messages), () => this.#checkDeleted(messages)),
      settle: (lease, settlements) =>
        seen(inner.settle(lease, settlements), () => {
          for (const settlement of settlements) this.#checkSettled(settlement)
        }),
      settleBehind: (lease, sink, outcome) =>
        seen(inner.settleBehind(lease, sink, outcome), () => {
          this.#deadNow(outcome.dead)
          for (const { id } of outcome.confirmed) {
            this.note("store", `behind no more ${id} at ${sink}`)
            if (!this.#receivedPairs.has(pairOf(id, sink))) {
              this.accuse("confirmed before received", `${this.#nameOf(id)} at ${sink}`)
            }
          }
        })
    }
  }

  #checkDeleted(messages: ReadonlyArray<Message.Message>): void {
    for (const { id } of messages) {
      this.note("store", `delete ${id}`)
      const commit = this.committed.get(id)
      if (commit === undefined) continue
      for (const sink of this.#sinks) {
        if (this.#wants(commit, sink) && !this.#hasOrGaveUp(id, sink.name)) {
          this.accuse("deleted before confirmed", `${this.#nameOf(id)}: not at ${sink.name}`)
        }
      }
    }
  }

  #checkSettled({ behind, dead, messageId }: OutboxStore.Settlement): void {
    this.#deadNow(dead)
    this.note("store", `settle ${messageId} behind [${behind.join(" ")}]`)
    const commit = this.committed.get(messageId)
    if (commit === undefined) return
    for (const sink of this.#sinks) {
      if (!this.#wants(commit, sink) || behind.includes(sink.name)) continue
      if (!this.#hasOrGaveUp(messageId, sink.name)) {
        this.accuse(
          "deleted before confirmed",
          `${this.#nameOf(messageId)}: neither at ${sink.name} nor behind for it`
        )
      }
    }
  }

  readonly #orderKey = (message: DeliveryChecker.Received): string =>
    message.topic === "reminders" ? message.id : message.key

  /**
   * Judges what arrived in the end, and returns the duplicates.
   *
   * @param letters dead letters that there are now
   * @param behind ids of what a sink still owes
   */
  conclude(
    letters: ReadonlyArray<OutboxAdmin.ListedDeadLetter>,
    behind: (sink: string) => ReadonlySet<string>
  ): number {
    let duplicates = 0
    const dead = new Set(letters.map(({ messageId, sink }) => pairOf(messageId, sink)))
    const blocked = new Set(letters.flatMap(({ blocks, key, sink }) => (blocks ? [`${sink} ${key}`] : [])))
    for (const sink of this.#sinks) {
      const owed = behind(sink.name)
      const mayLack = (id: string) =>
        owed.has(id) ||
        dead.has(pairOf(id, sink.name)) ||
        this.#discarded.has(pairOf(id, sink.name)) ||
        blocked.has(`${sink.name} ${this.committed.get(id)?.message.key}`)
      const wanted = [...this.committed.values()].filter((commit) =>
        sink.topics.some((topic) => topic.name === commit.message.topic)
      )
      const arrivals = this.#received.get(sink.name) ?? []
      const report = DeliveryChecker.check({
        committed: wanted.map(({ message }) => message),
        received: arrivals.map(({ message }) => message),
        owed: wanted
          .filter((commit) => !this.#wants(commit, sink) || mayLack(commit.message.id))
          .map(({ message }) => message.id),
        orderKey: this.#orderKey
      })
      duplicates += report.duplicates
      for (const id of report.lost) this.accuse("lost", `${this.#nameOf(id)} at ${sink.name}`)
      for (const id of report.neverCommitted) this.accuse("never committed", `${id} at ${sink.name}`)
      for (const id of report.altered) this.accuse("altered", `${id} at ${sink.name}`)
      for (const { after, id } of report.disordered) {
        // Where keys go on after a message that was refused, it may come later, requeued or sent by the next owner.
        if (sink.afterDeadLetter === "skip" && this.#wasRefused(id, sink.name)) continue
        // What was discarded, or written before the sink was known, comes to it by replay only.
        const commit = this.committed.get(id)
        if (commit !== undefined && !this.#wants(commit, sink)) continue
        if (this.#discarded.has(pairOf(id, sink.name))) continue
        this.accuse("disorder", `${this.#nameOf(id)} at ${sink.name} after ${this.#nameOf(after)}`)
      }
      for (const replay of this.#replays.filter((one) => one.sink === sink.name)) {
        const came = arrivals.some(({ at, message }) => message.id === replay.messageId && at >= replay.at)
        if (!came && !mayLack(replay.messageId)) {
          this.accuse(
            "replay lost",
            `${this.#nameOf(replay.messageId)} at ${sink.name}, asked for at ${replay.at}`
          )
        }
      }
    }
    return duplicates
  }
}
