import { MongoDatabase } from "@twinbox/mongodb"
import { OutboxStore } from "@twinbox/outbox"
import { Duration, Effect, Schedule } from "effect"
import type { Document } from "mongodb"
import * as BenchOutbox from "./BenchOutbox.ts"
import { inDatabase, type Servers, startRedis } from "./BenchServers.ts"
import type { Figure } from "./Figure.ts"
import { median, round } from "./Measure.ts"
import * as RelayHost from "./RelayHost.ts"
import { nowMillis, type RelaySettings, type Report, type SinkSettings } from "./RelayProtocol.ts"
import { within } from "./TimeLimit.ts"

export interface Explained {
  readonly nReturned: number
  readonly keysExamined: number
  readonly docsExamined: number
  readonly ratio: number
}

/** How an outbox with so many undelivered messages is drained. */
export interface Side {
  readonly messages: number
  /** How fast the next messages went out of it, whatever came after them. */
  readonly drainedPerSecond: number
  readonly read: Explained
}

export interface BacklogResult {
  readonly few: Side
  readonly many: Side
  /** All of the many, to the last. */
  readonly sustainedPerSecond: number
  readonly drainRatio: number
  /** Resident memory of the relay's process: before it has done anything, and the most that it ever was. */
  readonly memory: {
    readonly startMegabytes: number
    readonly peakMegabytes: number
    /** With the engine's heap bounded by `frugal`. */
    readonly frugalPeakMegabytes: number
  }
  readonly deadSink: {
    readonly messages: number
    readonly behind: number
    /** Rates are those of the slowest sink that is up. */
    readonly allUpPerSecond: number
    readonly nothingBehindPerSecond: number
    readonly manyBehindPerSecond: number
    /** Many messages behind for the dead sink against none. */
    readonly ratio: number
    readonly peakMegabytes: number
  }
}

/** Fewer come in so few batches that there is no rate. */
const leastMessages = 5_000

const scaled = (messages: number, scale: number) => Math.max(leastMessages, Math.round(messages * scale))

/** How often so many messages are drained with few and with many undelivered: it takes little. */
const samplesPerRound = 3

/** Its cost for a message does not depend on how many came before, as that of a mirror does, which holds them all. */
const log = (name: string, redisUrl: string): SinkSettings => ({ name, kind: "log", redisUrl, keeps: 10_000 })

/** Bounds of the heap for who has little memory: the engine leaves garbage where it is while there is room. */
const frugal = ["--max-old-space-size=128", "--max-semi-space-size=8"]

const lookEvery = Schedule.spaced("50 millis")

/** The shortest drain takes half a second. */
const loweredEvery = Duration.millis(5)

const megabytes = (bytes: number) => round(bytes / 1_000_000)

/** Messages a second, from the end of a sink's first batch to the end of its last. */
const perSecond = (report: Report, name: string) => {
  const sink = report.sinks[name]
  if (sink === undefined) return 0
  return ((sink.count - sink.firstCount) * 1_000) / Math.max(1, sink.lastAtMillis - sink.firstAtMillis)
}

/** Lets a relay deliver all that is ready to these of its sinks, and tells how it went. */
const deliver = (
  host: RelayHost.RelayHost,
  settings: RelaySettings,
  messages: number,
  to: ReadonlyArray<string>
) =>
  Effect.gen(function* () {
    yield* host.start(settings)
    yield* Effect.repeat(host.report, {
      until: ({ sinks }) => to.every((name) => (sinks[name]?.count ?? 0) >= messages),
      schedule: lookEvery
    }).pipe(within("30 minutes", "all was delivered"))
    const report = yield* host.report
    yield* host.stop
    return { report, drainedPerSecond: Math.min(...to.map((name) => perSecond(report, name))) }
  })

/** Waits until there are so few messages; tells how many there are then, and when. */
const lowered = (most: number) =>
  Effect.flatMap(OutboxStore.OutboxStore, ({ depth }) =>
    Effect.iterate(
      { depth: Infinity, atMillis: 0 },
      {
        while: (seen) => seen.depth > most,
        body: () =>
          Effect.delay(
            Effect.map(depth, (found) => ({ depth: found, atMillis: nowMillis() })),
            loweredEvery
          )
      }
    )
  ).pipe(within("30 minutes", `the outbox was down to ${most} messages`))

/** Messages a second that a relay gets rid of, counted where they are: in the outbox. */
const drain = (host: RelayHost.RelayHost, settings: RelaySettings, messages: number) =>
  Effect.gen(function* () {
    const before = yield* (yield* OutboxStore.OutboxStore).depth
    yield* host.start(settings)
    const first = yield* lowered(before - 1)
    const last = yield* lowered(Math.max(0, before - messages))
    yield* host.stop
    return ((first.depth - last.depth) * 1_000) / (last.atMillis - first.atMillis)
  })

/** What of a command says which documents it reads; the rest is about the session that sent it. */
const explainable = ({ filter, find, hint, sort }: Document): Document => ({ find, filter, hint, sort })

const explain = (read: Document) =>
  Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
    Effect.promise(async (): Promise<Explained> => {
      const { executionStats } = await db.command({
        explain: explainable(read),
        verbosity: "executionStats"
      })
      const { nReturned, totalDocsExamined, totalKeysExamined } = executionStats as Record<string, number>
      const returned = nReturned ?? 0
      return {
        nReturned: returned,
        keysExamined: totalKeysExamined ?? 0,
        docsExamined: totalDocsExamined ?? 0,
        ratio: round((totalKeysExamined ?? 0) / Math.max(1, returned), 3)
      }
    })
  )

/** What was inserted is written to disk by now, and not while something is measured. */
const flushed = Effect.flatMap(MongoDatabase.MongoDatabase, ({ client }) =>
  Effect.promise(() => client.db("admin").command({ fsync: 1 }))
)

const settingsOf = ({ mongoUri, redisUrl }: Servers, database: string): RelaySettings => ({
  mongoUri,
  database,
  owner: "relay",
  sinks: [log("log", redisUrl)]
})

/** Lets the engine compile what a relay does; returns the relay's read as it was sent. */
const warmUp = (servers: Servers, host: RelayHost.RelayHost, messages: number, database: string) =>
  inDatabase(
    servers,
    database,
    Effect.gen(function* () {
      yield* BenchOutbox.fill(0, messages)
      const settings = { ...settingsOf(servers, database), monitors: true }
      const { read } = (yield* deliver(host, settings, messages, ["log"])).report
      return read ?? (yield* Effect.dieMessage("the relay has read nothing"))
    })
  )

interface Backlog {
  readonly database: string
  readonly messages: number
  /** Messages of a drain that is timed. */
  readonly atOnce: number
  readonly times: number
}

/** Fills an outbox, has it drained by so many messages as often as is asked for, and then to the last. */
const sample = (
  servers: Servers,
  host: RelayHost.RelayHost,
  read: Document,
  { atOnce, database, messages, times }: Backlog
) =>
  inDatabase(
    servers,
    database,
    Effect.gen(function* () {
      yield* BenchOutbox.fill(0, messages)
      yield* flushed
      const explained = yield* explain(read)
      const settings = settingsOf(servers, database)
      const rates = yield* Effect.replicateEffect(drain(host, settings, atOnce), times)
      const left = yield* (yield* OutboxStore.OutboxStore).depth
      const sustained = left === 0 ? 0 : yield* drain(host, settings, left)
      return { messages, rates, sustained, read: explained }
    })
  )

type Sample = Effect.Effect.Success<ReturnType<typeof sample>>

const sideOf = (samples: ReadonlyArray<Sample>): Side => ({
  messages: samples[0]?.messages ?? 0,
  drainedPerSecond: round(median(samples.flatMap(({ rates }) => rates))),
  // The worst of them.
  read: samples.map(({ read }) => read).reduce((a, b) => (b.ratio > a.ratio ? b : a))
})

/** The memory that a relay takes where the engine has been told to be sparing; else it tidies up when it likes. */
const frugally = (servers: Servers, read: Document, messages: number) =>
  Effect.gen(function* () {
    const host = yield* RelayHost.make(frugal)
    yield* sample(servers, host, read, { database: "backlog_frugal", messages, atOnce: 0, times: 0 })
    return megabytes((yield* host.report).peakRssBytes)
  }).pipe(Effect.scoped)

const drains = (servers: Servers, rounds: number, scale: number) =>
  Effect.gen(function* () {
    const host = yield* RelayHost.make()
    const { rssBytes } = yield* host.report
    const read = yield* warmUp(servers, host, scaled(100_000, scale), "backlog_warm_up")
    const fewMessages = scaled(10_000, scale)
    const manyMessages = scaled(1_000_000, scale)
    const few: Array<Sample> = []
    const many: Array<Sample> = []
    const atOnce = fewMessages
    for (let at = 0; at < rounds; at++) {
      for (let n = 0; n < samplesPerRound; n++) {
        const database = `backlog_few_${at}_${n}`
        few.push(yield* sample(servers, host, read, { database, messages: fewMessages, atOnce, times: 1 }))
      }
      const database = `backlog_many_${at}`
      const times = samplesPerRound
      many.push(yield* sample(servers, host, read, { database, messages: manyMessages, atOnce, times }))
    }
    const { peakRssBytes } = yield* host.report
    const sides = { few: sideOf(few), many: sideOf(many) }
    return {
      ...sides,
      sustainedPerSecond: round(median(many.map(({ sustained }) => sustained))),
      drainRatio: round(sides.many.drainedPerSecond / sides.few.drainedPerSecond, 3),
      memory: {
        startMegabytes: megabytes(rssBytes),
        peakMegabytes: megabytes(peakRssBytes),
        frugalPeakMegabytes: yield* frugally(servers, read, manyMessages)
      }
    }
  }).pipe(Effect.scoped)

const deadSink = (servers: Servers, rounds: number, scale: number) =>
  Effect.gen(function* () {
    const messages = scaled(100_000, scale)
    const behind = scaled(1_000_000, scale)
    const host = yield* RelayHost.make()
    const dead = yield* startRedis
    const healthy = ["log", "second-log"]
    const sinks = [...healthy.map((name) => log(name, servers.redisUrl)), log("dead", dead.uri)]
    const drained = (database: string, isBehind: number, to: ReadonlyArray<string>) =>
      inDatabase(
        servers,
        database,
        Effect.gen(function* () {
          yield* BenchOutbox.fillBehind(messages, isBehind, "dead")
          yield* BenchOutbox.fill(0, messages)
          yield* flushed
          const settings = { mongoUri: servers.mongoUri, owner: "relay", sinks, database }
          return (yield* deliver(host, settings, messages, to)).drainedPerSecond
        })
      )
    const everywhere = [...healthy, "dead"]
    yield* drained("dead_sink_warm_up", 0, everywhere)
    const allUp: Array<number> = []
    for (let at = 0; at < rounds; at++) allUp.push(yield* drained(`dead_sink_up_${at}`, 0, everywhere))
    yield* dead.stop
    yield* drained("dead_sink_down_warm_up", 0, healthy)
    const none: Array<number> = []
    const many: Array<number> = []
    for (let at = 0; at < rounds; at++) {
      none.push(yield* drained(`dead_sink_none_${at}`, 0, healthy))
      many.push(yield* drained(`dead_sink_many_${at}`, behind, healthy))
    }
    const { peakRssBytes } = yield* host.report
    return {
      messages,
      behind,
      allUpPerSecond: round(median(allUp)),
      nothingBehindPerSecond: round(median(none)),
      manyBehindPerSecond: round(median(many)),
      ratio: round(median(many) / median(none), 3),
      peakMegabytes: megabytes(peakRssBytes)
    }
  }).pipe(Effect.scoped)

/**
 * (g) Many undelivered messages against few: how fast a relay drains them, what its read costs the database and how
 * much memory it takes; and what its healthy sinks get while many messages are behind for a dead one.
 */
export const run = (servers: Servers, rounds: number, scale: number) =>
  Effect.gen(function* () {
    const result: BacklogResult = {
      ...(yield* drains(servers, rounds, scale)),
      deadSink: yield* deadSink(servers, rounds, scale)
    }
    return result
  })

const thousands = (count: number) => count.toLocaleString("en")

export const figures = ({
  deadSink,
  drainRatio,
  few,
  many,
  memory,
  sustainedPerSecond
}: BacklogResult): ReadonlyArray<Figure> => [
  {
    name: `(g) drain of ${thousands(few.messages)} with ${thousands(many.messages)} / with no more undelivered`,
    measured: drainRatio,
    atLeast: 0.9
  },
  {
    name: `(g) drain of all ${thousands(many.messages)}`,
    measured: sustainedPerSecond,
    unit: "/s"
  },
  ...[few, many].map(({ messages, read }) => ({
    name: `(g) index keys / documents of the read, ${thousands(messages)} undelivered`,
    measured: read.ratio,
    atMost: 1.2
  })),
  {
    name: `(g) peak memory of the relay, ${thousands(many.messages)} undelivered`,
    measured: memory.peakMegabytes,
    unit: "MB",
    atMost: 250
  },
  {
    name: `(g) the same with ${frugal.join(" ")}`,
    measured: memory.frugalPeakMegabytes,
    unit: "MB",
    atMost: 250
  },
  {
    name: `(g) healthy sinks with ${thousands(deadSink.behind)} behind for a dead one / none`,
    measured: deadSink.ratio,
    atLeast: 0.9
  }
]
