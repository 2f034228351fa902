import { MongoDatabase } from "@twinbox/mongodb"
import { Duration, Effect, Schedule } from "effect"
import type { Document } from "mongodb"
import * as BenchOutbox from "./BenchOutbox.ts"
import { inDatabase, type Servers, startRedis } from "./BenchServers.ts"
import type { Figure } from "./Figure.ts"
import { median, round } from "./Measure.ts"
import * as RelayHost from "./RelayHost.ts"
import type { RelaySettings, Report, SinkSettings } from "./RelayProtocol.ts"
import { within } from "./TimeLimit.ts"

export interface Explained {
  readonly nReturned: number
  readonly keysExamined: number
  readonly docsExamined: number
  readonly ratio: number
}

export interface BacklogResult {
  readonly few: {
    readonly messages: number
    readonly drainedPerSecond: number
    readonly read: Explained
  }
  readonly many: {
    readonly messages: number
    readonly drainedPerSecond: number
    readonly read: Explained
  }
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

/** How often the few messages are drained for once that the many are: it takes that little. */
const fewPerMany = 3

/** Its cost for a message does not depend on how many came before, as that of a mirror does, which holds them all. */
const log = (name: string, redisUrl: string): SinkSettings => ({ name, kind: "log", redisUrl, keeps: 10_000 })

/** Bounds of the heap for who has little memory: the engine leaves garbage where it is while there is room. */
const frugal = ["--max-old-space-size=128", "--max-semi-space-size=8"]

const lookEvery = Schedule.spaced("50 millis")

/** The end of a drain is seen by looking: the shortest takes most of a second. */
const settledEvery = Duration.millis(5)

const megabytes = (bytes: number) => round(bytes / 1_000_000)

/** Messages a second, from the end of a sink's first batch to `endMillis`, or to the end of its last. */
const perSecond = (report: Report, name: string, endMillis?: number) => {
  const sink = report.sinks[name]
  if (sink === undefined) return 0
  const took = (endMillis ?? sink.lastAtMillis) - sink.firstAtMillis
  return ((sink.count - sink.firstCount) * 1_000) / Math.max(1, took)
}

/** All of it has been delivered, and the relay has written that down. */
const isSettled = ({ relay, sinks }: Report, messages: number, to: ReadonlyArray<string>) =>
  relay?.inFlight === 0 && to.every((name) => (sinks[name]?.count ?? 0) >= messages)

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

/**
 * Empties an outbox into a relay's only sink. A relay takes in some thousands of messages at once: of few messages the
 * sinks have all long before the database has got rid of any.
 */
const drain = (host: RelayHost.RelayHost, settings: RelaySettings, messages: number) =>
  Effect.gen(function* () {
    const to = settings.sinks.map(({ name }) => name)
    yield* host.start(settings)
    const settled = Effect.iterate(yield* host.report, {
      while: (found) => !isSettled(found, messages, to),
      body: () => Effect.delay(host.report, settledEvery)
    })
    const report = yield* within("30 minutes", "the outbox was empty")(settled)
    yield* host.stop
    const drainedPerSecond = Math.min(...to.map((name) => perSecond(report, name, report.atMillis)))
    return { report, drainedPerSecond }
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

interface Side {
  readonly messages: number
  readonly drainedPerSecond: number
  readonly read: Explained
}

const summary = (samples: ReadonlyArray<Side>): Side => ({
  messages: samples[0]?.messages ?? 0,
  drainedPerSecond: round(median(samples.map(({ drainedPerSecond }) => drainedPerSecond))),
  // The worst of them.
  read: samples.map(({ read }) => read).reduce((a, b) => (b.ratio > a.ratio ? b : a))
})

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
      const { read } = (yield* drain(host, settings, messages)).report
      return read ?? (yield* Effect.dieMessage("the relay has read nothing"))
    })
  )

const sample = (
  servers: Servers,
  host: RelayHost.RelayHost,
  read: Document,
  messages: number,
  database: string
) =>
  inDatabase(
    servers,
    database,
    Effect.gen(function* () {
      yield* BenchOutbox.fill(0, messages)
      yield* flushed
      const explained = yield* explain(read)
      const settings = settingsOf(servers, database)
      const { drainedPerSecond } = yield* drain(host, settings, messages)
      const side: Side = { messages, drainedPerSecond, read: explained }
      return side
    })
  )

/** The memory that a relay takes where the engine has been told to be sparing; else it tidies up when it likes. */
const frugally = (servers: Servers, read: Document, messages: number) =>
  Effect.gen(function* () {
    const host = yield* RelayHost.make(frugal)
    yield* sample(servers, host, read, messages, "backlog_frugal")
    return megabytes((yield* host.report).peakRssBytes)
  }).pipe(Effect.scoped)

const drains = (servers: Servers, rounds: number, scale: number) =>
  Effect.gen(function* () {
    const host = yield* RelayHost.make()
    const { rssBytes } = yield* host.report
    const read = yield* warmUp(servers, host, scaled(100_000, scale), "backlog_warm_up")
    const fewMessages = scaled(10_000, scale)
    const manyMessages = scaled(1_000_000, scale)
    const few: Array<Side> = []
    const many: Array<Side> = []
    for (let at = 0; at < rounds; at++) {
      for (let n = 0; n < fewPerMany; n++) {
        few.push(yield* sample(servers, host, read, fewMessages, `backlog_few_${at}_${n}`))
      }
      many.push(yield* sample(servers, host, read, manyMessages, `backlog_many_${at}`))
    }
    const { peakRssBytes } = yield* host.report
    const sides = { few: summary(few), many: summary(many) }
    return {
      ...sides,
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
  memory
}: BacklogResult): ReadonlyArray<Figure> => [
  {
    name: `(g) drain with ${thousands(many.messages)} / ${thousands(few.messages)} undelivered`,
    measured: drainRatio,
    atLeast: 0.9
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
