import { Dice } from "./Dice.ts"
import { audits, customers, reminders } from "./Topics.ts"

/** Everything that can go wrong. A run draws which of it does: few faults at once find what many would hide. */
export const faults = [
  /** Relays die between any two steps. */
  "crashes",
  /** Relays stand still for up to three lease times and go on. */
  "pauses",
  /** So do their clocks. */
  "standingClocks",
  /** Relays stop cleanly, and others start. */
  "stops",
  /** Calls of the store take up to seconds. */
  "slowStore",
  /** Calls of the store fail, or their replies are lost. */
  "store",
  /** The store is away for seconds. */
  "storeAway",
  /** Nothing reaches the store from one machine. */
  "cuts",
  /** Feeds end. */
  "feeds",
  /** Cursors end before their time. */
  "reads",
  /** Sinks are away for seconds. */
  "sinkAway",
  /** Single calls of sinks fail, some of them after they were done, in part or wholly. */
  "sinkCalls",
  /** Sinks take longer than their time limit. */
  "sinkSlow",
  /** Sinks ask to slow down. */
  "throttling",
  /** Sinks refuse messages and take them later. */
  "refusals",
  /** Sinks refuse messages for good. */
  "rejections",
  /** Calls with certain messages in them fail. */
  "chokes",
  /** Certain messages kill the process that sends them. */
  "poison",
  /** People requeue and discard. */
  "people",
  /** People replay what was delivered. */
  "replays",
  /** Messages are not to be delivered before a time. */
  "scheduling",
  /** Some relays do not have all sinks. */
  "missingSinks",
  /** Many messages commit at once. */
  "bursts",
  /** Clocks are minutes off, and run at slightly different speeds. */
  "skew",
  /** Keys have messages of two topics, and not every sink wants both. */
  "mixedTopics",
  /** The last sink is added while all goes on: relays without it are stopped, one by one, and others start. */
  "lateSink",
  /** Records that are no messages appear. */
  "corruption"
] as const

export type Fault = (typeof faults)[number]

export interface SinkSettings {
  readonly name: string
  readonly topics: ReadonlyArray<typeof customers | typeof audits | typeof reminders>
  readonly afterDeadLetter: "park" | "skip"
  readonly batchSize: number
  readonly concurrency: number
  readonly patienceMillis: number
  readonly timeoutMillis: number
  readonly maxAttempts: number
  readonly maxQueue: number
}

/** What one run is made of. All of it follows from the seed. */
export interface Scenario {
  readonly seed: number
  readonly faults: ReadonlySet<Fault>
  /** Milliseconds during which there are faults. */
  readonly stormMillis: number
  readonly relays: number
  readonly sinks: ReadonlyArray<SinkSettings>
  readonly leaseMillis: number
  readonly sweepMillis: number
  readonly drainMillis: number
  readonly maxInFlight: number
  readonly keys: ReadonlyArray<string>
  /** Milliseconds between two transactions, on average. */
  readonly writeEvery: number
  readonly messages: number
  /** Milliseconds between two blows of fate, on average. */
  readonly faultEvery: number
  readonly keepDelivered: number
}

const sinkSettings = (dice: Dice, name: string, topics: SinkSettings["topics"]): SinkSettings => ({
  name,
  topics,
  afterDeadLetter: dice.chance(0.75) ? "park" : "skip",
  batchSize: dice.pick([1, 3, 8, 20]),
  concurrency: dice.pick([1, 1, 1, 1, 2, 3]),
  patienceMillis: dice.pick([100, 500, 1_000]),
  timeoutMillis: dice.pick([500, 1_500, 3_000]),
  maxAttempts: dice.whole(1, 4),
  maxQueue: dice.pick([2, 10, 1_000])
})

/** Draws a scenario. What is left out or added changes what can go wrong, and nothing else. */
export const draw = (
  seed: number,
  without: ReadonlySet<string> = new Set(),
  added: ReadonlyArray<Fault> = []
): Scenario => {
  const dice = new Dice(seed, "scenario")
  const density = dice.pick([0.15, 0.35, 0.6])
  const drawn = faults.filter(() => dice.chance(density))
  const all = [
    sinkSettings(dice, "mirror", [customers]),
    sinkSettings(dice, "stream", [customers, audits, reminders]),
    sinkSettings(dice, "export", [customers, reminders])
  ]
  return {
    seed,
    faults: new Set([...drawn.filter((fault) => !without.has(fault)), ...added]),
    stormMillis: dice.pick([3_000, 6_000, 12_000]),
    relays: dice.pick([1, 2, 2, 2, 3, 3, 4]),
    sinks: all.slice(0, dice.pick([1, 1, 2, 2, 2, 3])),
    leaseMillis: dice.pick([1_500, 3_000]),
    sweepMillis: dice.pick([2_000, 10_000, 30_000]),
    drainMillis: dice.pick([300, 1_500]),
    maxInFlight: dice.pick([5, 30, 1_000]),
    keys: Array.from({ length: dice.whole(1, 8) }, (_, at) => `customer/${at}`),
    writeEvery: dice.pick([100, 400, 1_000]),
    messages: dice.pick([12, 25, 60]),
    faultEvery: dice.pick([500, 1_500, 4_000]),
    keepDelivered: dice.pick([0, 60_000])
  }
}
