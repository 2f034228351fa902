import { MongoDatabase } from "@twinbox/mongodb"
import type { RedisServerHandle } from "@twinbox/services"
import { Effect, Option, Schedule } from "effect"
import * as BenchLoad from "./BenchLoad.ts"
import * as BenchOutbox from "./BenchOutbox.ts"
import { inDatabase, type Servers, startRedis } from "./BenchServers.ts"
import type { Figure } from "./Figure.ts"
import { median, percentile, round } from "./Measure.ts"
import * as RelayHost from "./RelayHost.ts"
import { nowMillis, type Report, type SinkSettings } from "./RelayProtocol.ts"
import * as Slots from "./Slots.ts"
import { within } from "./TimeLimit.ts"

/** What a sink got in a while. */
export interface Received {
  readonly perSecond: number
  /** Save acknowledged -> confirmed. */
  readonly p50Millis: number
  readonly p95Millis: number
}

export interface Phase {
  readonly savesPerSecond: number
  readonly sinks: Readonly<Record<string, Received>>
}

export interface CatchUp {
  /** When the sink came back. */
  readonly behind: number
  readonly seconds: number
  /** False: the writers had to stop first. */
  readonly underLoad: boolean
}

export interface Round {
  readonly allUp: Phase
  readonly oneDown: Phase
  readonly catchUp: CatchUp
}

export interface SinksResult {
  readonly seconds: number
  readonly rounds: ReadonlyArray<Round>
  /** Of the healthy sinks: one down against all up; for latencies all up against one down, so that more is better. */
  readonly ratios: Readonly<
    Record<string, { readonly rate: number; readonly p50: number; readonly p95: number }>
  >
}

const healthy = ["redis-mirror", "log"]

/** The sink whose server goes and comes. */
const outage = "far-log"

/** Entries of no use to anybody are not kept. */
const keeps = 10_000

const sinksOf = (redisUrl: string, farUrl: string): ReadonlyArray<SinkSettings> => [
  { name: "redis-mirror", kind: "mirror", redisUrl },
  { name: "log", kind: "log", redisUrl, keeps },
  { name: outage, kind: "log", redisUrl: farUrl, keeps }
]

const idOf = (key: string) => key.slice(key.indexOf("/") + 1)

const received = (name: string, before: Report, after: Report, acknowledged: ReadonlyMap<string, number>) => {
  const from = before.sinks[name]
  const to = after.sinks[name]
  const seconds = (after.atMillis - before.atMillis) / 1_000
  const latencies = (to?.samples ?? []).map(([key, atMillis]) =>
    // A message can be confirmed before its writer hears of the commit.
    Math.max(0, atMillis - (acknowledged.get(idOf(key)) ?? atMillis))
  )
  const result: Received = {
    perSecond: round(((to?.count ?? 0) - (from?.count ?? 0)) / seconds),
    p50Millis: round(percentile(latencies, 0.5), 2),
    p95Millis: round(percentile(latencies, 0.95), 2)
  }
  return result
}

const observe = (relay: RelayHost.RelayHost, load: BenchLoad.Load, seconds: number) =>
  Effect.gen(function* () {
    const before = yield* relay.report
    const savesPerSecond = yield* BenchLoad.savesPerSecond(load, Effect.sleep(`${seconds} seconds`))
    const after = yield* relay.report
    const phase: Phase = {
      savesPerSecond: round(savesPerSecond),
      sinks: Object.fromEntries(
        healthy.map((name) => [name, received(name, before, after, load.acknowledged)])
      )
    }
    return phase
  })

const lookEvery = Schedule.spaced("100 millis")

/** Waits until the sink is owed nothing, and its relay knows. */
const caughtUp = (relay: RelayHost.RelayHost) =>
  Effect.repeat(
    Effect.gen(function* () {
      const flows =
        (yield* relay.report).relay?.sinks.find(({ name }) => name === outage)?.state === "flowing"
      return flows && (yield* BenchOutbox.owes(outage)) === 0
    }),
    { until: (isDone) => isDone, schedule: lookEvery }
  ).pipe(within("30 minutes", "the sink had caught up"))

interface World {
  readonly relay: RelayHost.RelayHost
  readonly far: RedisServerHandle
}

/** Under full load from writers that have started a moment ago; ends with everything delivered. */
const underLoad = <A, E, R>(work: (load: BenchLoad.Load) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const load = yield* BenchLoad.start({ groupCommit: true })
    yield* Effect.sleep("2 seconds")
    const result = yield* work(load)
    yield* load.stop
    yield* BenchOutbox.emptied
    return result
  }).pipe(Effect.scoped)

const allUp = ({ relay }: World, seconds: number) => underLoad((load) => observe(relay, load, seconds))

const comeBack = ({ far, relay }: World, load: BenchLoad.Load, withinSeconds: number) =>
  Effect.gen(function* () {
    const behind = yield* BenchOutbox.owes(outage)
    yield* far.start
    const startedAt = nowMillis()
    const inTime = yield* Effect.timeoutOption(caughtUp(relay), `${withinSeconds} seconds`)
    if (Option.isNone(inTime)) yield* Effect.zipRight(load.stop, caughtUp(relay))
    const result: CatchUp = {
      behind,
      seconds: round((nowMillis() - startedAt) / 1_000, 1),
      underLoad: Option.isSome(inTime)
    }
    return result
  })

/** Who has not caught up after so many times as long as it was away does so when the writers have stopped. */
const patience = 3

const oneDown = (world: World, seconds: number) =>
  underLoad((load) =>
    Effect.gen(function* () {
      yield* world.far.stop
      const phase = yield* observe(world.relay, load, seconds)
      return { phase, catchUp: yield* comeBack(world, load, patience * seconds) }
    })
  )

const oneRound = (world: World, seconds: number, upFirst: boolean) =>
  Effect.gen(function* () {
    const before = upFirst ? yield* allUp(world, seconds) : undefined
    const { catchUp, phase } = yield* oneDown(world, seconds)
    const result: Round = { allUp: before ?? (yield* allUp(world, seconds)), oneDown: phase, catchUp }
    return result
  })

/** The latencies of a relay that has little to do are below what is worth telling apart. */
const leastMillis = 0.1

const share = (better: number, worse: number) => Math.max(leastMillis, better) / Math.max(leastMillis, worse)

const ratiosOf = (rounds: ReadonlyArray<Round>, name: string): SinksResult["ratios"][string] => {
  const pairs = rounds.flatMap(({ allUp, oneDown }) => {
    const [up, down] = [allUp.sinks[name], oneDown.sinks[name]]
    return up === undefined || down === undefined ? [] : [{ up, down }]
  })
  const of = (ratio: (pair: (typeof pairs)[number]) => number) => round(median(pairs.map(ratio)), 3)
  return {
    rate: of(({ down, up }) => down.perSecond / up.perSecond),
    p50: of(({ down, up }) => share(up.p50Millis, down.p50Millis)),
    p95: of(({ down, up }) => share(up.p95Millis, down.p95Millis))
  }
}

const warmUpSeconds = 5

const measure = (servers: Servers, rounds: number, seconds: number) =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const far = yield* startRedis
    const relay = yield* RelayHost.make()
    yield* relay.start({
      mongoUri: servers.mongoUri,
      database: db.databaseName,
      owner: "relay",
      sinks: sinksOf(servers.redisUrl, far.uri),
      samples: true
    })
    yield* Slots.settled(1)
    const world = { relay, far }
    yield* oneRound(world, Math.min(warmUpSeconds, seconds), true)
    const results: Array<Round> = []
    for (let at = 0; at < rounds; at++) results.push(yield* oneRound(world, seconds, at % 2 === 0))
    yield* relay.stop
    const result: SinksResult = {
      seconds,
      rounds: results,
      ratios: Object.fromEntries(healthy.map((name) => [name, ratiosOf(results, name)]))
    }
    return result
  })

/**
 * (f) Three sinks, the server of one of them gone for a while: what the other two get, and how soon, under full load,
 * against the same with all three up. Then the server comes back, and its sink catches up.
 */
export const run = (servers: Servers, rounds: number, seconds: number) =>
  inDatabase(servers, "sinks", measure(servers, rounds, seconds))

export const figures = ({ ratios, rounds, seconds }: SinksResult): ReadonlyArray<Figure> => [
  ...Object.entries(ratios).flatMap(([name, { p50, p95, rate }]) => [
    { name: `(f) ${name}: rate, one of three down / all up`, measured: rate, atLeast: 0.9 },
    { name: `(f) ${name}: p50 commit -> confirmed, all up / one down`, measured: p50, atLeast: 0.9 },
    { name: `(f) ${name}: p95 commit -> confirmed, all up / one down`, measured: p95, atLeast: 0.9 }
  ]),
  {
    name: `(f) back after ${seconds} s: until nothing is behind`,
    measured: round(median(rounds.map(({ catchUp }) => catchUp.seconds)), 1),
    unit: "s"
  }
]
