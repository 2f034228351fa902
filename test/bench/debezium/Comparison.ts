import { setTimeout } from "node:timers/promises"
import type { MongoDatabase } from "@twinbox/mongodb"
import type { OutboxStore } from "@twinbox/outbox"
import { Effect } from "effect"
import * as BenchOutbox from "../BenchOutbox.ts"
import { median, percentile, round } from "../Measure.ts"
import { nowMillis } from "../RelayProtocol.ts"
import { within } from "../TimeLimit.ts"
import type { Contender } from "./Contender.ts"
import * as FirstMessage from "./FirstMessage.ts"
import type { Usage } from "./ProcessUsage.ts"
import * as TopicArrivals from "./TopicArrivals.ts"

export interface Sizes {
  /** Of one run. */
  readonly messages: number
  readonly runs: number
  /** How long latency is measured, and then idleness. */
  readonly seconds: number
}

/** What one contender showed. */
export interface Showing {
  /** First insert -> last message seen by a consumer. Median of the last runs, as all that follow. */
  readonly messagesPerSecond: number
  /** Of one run, in its process. */
  readonly cpuSeconds: number
  /** Insert acknowledged -> seen by a consumer. */
  readonly p50Millis: number
  readonly p99Millis: number
  /** After a run. */
  readonly rssMegabytes: number
  /** The most that it ever was. */
  readonly peakMegabytes: number
  /** Of one core. */
  readonly idlePercent: number
}

/** So many runs at the end count: those before them let compilers see the code. */
const countingRuns = 3

/** For latency. */
const messagesPerSecond = 200

const settleWithin = "5 seconds"

/** What a process still does when all has arrived: commits, garbage. */
const aftermath = "500 millis"

/** Who was paused reads past what the others wrote meanwhile. */
const afterPause = "1 second"

/** Of latency. */
const turnSeconds = 5

/** Messages that come one by one take ways that compilers have not seen yet: these do not count. */
const warmUpTurns = 3

type Needs = MongoDatabase.MongoDatabase | OutboxStore.OutboxStore

const print = (text: string) => Effect.sync(() => void process.stdout.write(`${text}\n`))

/** A contender under measurement: its topic is followed, and each message has a number of its own. */
interface Bench {
  readonly contender: Contender
  readonly arrivals: TopicArrivals.TopicArrivals
  /** Takes numbers for so many messages; gives the first. */
  readonly take: (count: number) => number
  readonly runs: Array<Run>
  readonly latencies: Array<number>
}

/** What one run showed. */
type Run = Pick<Showing, "messagesPerSecond" | "cpuSeconds" | "rssMegabytes">

const oneRun = ({ arrivals, contender, take }: Bench, messages: number) =>
  Effect.gen(function* () {
    const first = take(messages)
    const expected = arrivals.expect(FirstMessage.keysOf(first, messages))
    const before = yield* contender.usage
    const startedAt = nowMillis()
    yield* BenchOutbox.fill(first, messages)
    const writtenAt = nowMillis()
    const seen = yield* expected.all.pipe(within("2 minutes", "every message had arrived"))
    const seconds = (Math.max(...seen.values()) - startedAt) / 1_000
    yield* contender.settled
    yield* Effect.sleep(aftermath)
    const after = yield* contender.usage
    const result: Run = {
      messagesPerSecond: round(messages / seconds),
      cpuSeconds: round((after.cpuMillis - before.cpuMillis) / 1_000, 2),
      rssMegabytes: round(after.rssBytes / 1_048_576)
    }
    yield* print(
      `${contender.name}: ${result.messagesPerSecond} messages/s (written in ${round((writtenAt - startedAt) / 1_000, 2)} s), ${result.cpuSeconds} s of CPU, ${result.rssMegabytes} MB`
    )
    return result
  })

/** Writes one message after another, each at its time, and sees when it arrives after its insert was acknowledged. */
const latencies = ({ arrivals, contender, take }: Bench, seconds: number) =>
  Effect.gen(function* () {
    const count = messagesPerSecond * seconds
    const first = take(count)
    const keys = FirstMessage.keysOf(first, count)
    const expected = arrivals.expect(keys)
    const write = yield* BenchOutbox.writer
    const acknowledged = yield* Effect.promise(async () => {
      const startedAt = nowMillis()
      const writes: Array<Promise<number>> = []
      for (let at = 0; at < count; at++) {
        await setTimeout(Math.max(0, startedAt + (at * 1_000) / messagesPerSecond - nowMillis()))
        writes.push(write(first + at).then(nowMillis))
      }
      return Promise.all(writes)
    })
    const seen = yield* expected.all.pipe(within("1 minute", "every message had arrived"))
    // A message can arrive before its writer hears of the insert.
    const millis = keys.map((key, at) => Math.max(0, (seen.get(key) ?? 0) - (acknowledged[at] ?? 0)))
    yield* print(
      `${contender.name}: p50 ${round(percentile(millis, 0.5), 2)} ms, p99 ${round(percentile(millis, 0.99), 2)} ms`
    )
    return millis
  })

const idlePercent = ({ contender }: Bench, seconds: number) =>
  Effect.gen(function* () {
    yield* Effect.sleep(settleWithin)
    const before = yield* contender.usage
    yield* Effect.sleep(`${seconds} seconds`)
    const after = yield* contender.usage
    return round(((after.cpuMillis - before.cpuMillis) * 100) / (after.atMillis - before.atMillis), 2)
  })

const prepare = (contender: Contender, brokers: string) =>
  Effect.gen(function* () {
    let next = 1
    const bench: Bench = {
      contender,
      arrivals: yield* TopicArrivals.follow(brokers, contender.kafkaTopic),
      take: (count) => {
        next += count
        return next - count
      },
      runs: [],
      latencies: []
    }
    yield* Effect.provide(
      FirstMessage.arrived(bench.arrivals, () => bench.take(1)),
      contender.context
    )
    yield* contender.pause
    return bench
  })

const showing = ({ latencies, runs }: Bench, idle: number, { peakRssBytes }: Usage): Showing => {
  const counting = runs.slice(-countingRuns)
  return {
    messagesPerSecond: round(median(counting.map((one) => one.messagesPerSecond))),
    cpuSeconds: round(median(counting.map((one) => one.cpuSeconds)), 2),
    p50Millis: round(percentile(latencies, 0.5), 2),
    p99Millis: round(percentile(latencies, 0.99), 2),
    rssMegabytes: round(median(counting.map((one) => one.rssMegabytes))),
    peakMegabytes: round(peakRssBytes / 1_048_576),
    idlePercent: idle
  }
}

/**
 * Measures running contenders. They take turns, so that a machine that is busy with something else for a while is so for
 * all of them.
 */
export const run = (contenders: ReadonlyArray<Contender>, brokers: string, sizes: Sizes) =>
  Effect.gen(function* () {
    const benches = yield* Effect.forEach(contenders, (contender) => prepare(contender, brokers))
    const turns = <A, E>(work: (bench: Bench) => Effect.Effect<A, E, Needs>) =>
      Effect.forEach(benches, (bench) =>
        Effect.acquireUseRelease(
          Effect.zipRight(bench.contender.resume, Effect.sleep(afterPause)),
          () => Effect.provide(work(bench), bench.contender.context),
          () => bench.contender.pause
        )
      )
    for (let at = 1; at <= sizes.runs; at++) {
      yield* print(`run ${at} of ${sizes.runs}`)
      yield* turns((bench) => Effect.map(oneRun(bench, sizes.messages), (result) => bench.runs.push(result)))
    }
    yield* print(`latency, for ${sizes.seconds} s each ...`)
    for (let at = 0; at < warmUpTurns; at++) yield* turns((bench) => latencies(bench, turnSeconds))
    for (let left = sizes.seconds; left > 0; left -= turnSeconds) {
      yield* turns((bench) =>
        Effect.map(latencies(bench, Math.min(turnSeconds, left)), (values) => bench.latencies.push(...values))
      )
    }
    yield* print(`nothing to do, for ${sizes.seconds} s each ...`)
    const idle = yield* turns((bench) => idlePercent(bench, sizes.seconds))
    return yield* Effect.forEach(benches, (bench, at) =>
      Effect.map(bench.contender.usage, (usage) => showing(bench, idle[at] ?? Number.NaN, usage))
    )
  }).pipe(Effect.scoped)
