import { MongoDatabase } from "@twinbox/mongodb"
import { RedisConnection } from "@twinbox/redis"
import { Effect, Fiber } from "effect"
import * as BenchLoad from "./BenchLoad.ts"
import * as BenchOutbox from "./BenchOutbox.ts"
import { inDatabase, type Servers } from "./BenchServers.ts"
import * as BenchSinks from "./BenchSinks.ts"
import type { Figure } from "./Figure.ts"
import { round } from "./Measure.ts"
import * as RelayHost from "./RelayHost.ts"
import { nowMillis } from "./RelayProtocol.ts"
import * as Slots from "./Slots.ts"

/** How long it took after a change until all slots were owned again, in equal shares. */
export interface Change {
  readonly kind: "two join" | "two leave"
  readonly seconds: number
  /** The longest that any slot was seen without an owner. */
  readonly longestFreeSeconds: number
}

export interface HandoverResult {
  readonly changes: ReadonlyArray<Change>
  readonly worstSeconds: number
  readonly saved: number
  readonly savesPerSecond: number
  readonly lost: number
  /** Arrivals beyond the first. */
  readonly duplicates: number
  /** Of these, those that another relay than the first one brought. */
  readonly duplicatesByAnother: number
}

const relays = 3

/** The relay's own default: a third of its lease. */
const heartbeatSeconds = 2

const change = (kind: Change["kind"], startedAt: number, members: number) =>
  Effect.map(Slots.settled(members), ({ longestFreeMillis }): Change => ({
    kind,
    seconds: round((nowMillis() - startedAt) / 1_000, 2),
    longestFreeSeconds: round(longestFreeMillis / 1_000, 2)
  }))

interface Member {
  readonly host: RelayHost.RelayHost
  readonly start: Effect.Effect<void>
}

const together = { concurrency: "unbounded", discard: true } as const

/** Two more relays come, and go again. */
const comeAndGo = (others: ReadonlyArray<Member>, seconds: number) =>
  Effect.gen(function* () {
    const coming = yield* Effect.fork(Effect.forEach(others, ({ start }) => start, together))
    // To connect takes time too, and is no part of it.
    yield* Slots.joined(relays)
    const join = yield* change("two join", nowMillis(), relays)
    yield* Fiber.join(coming)
    yield* Effect.sleep(`${seconds} seconds`)
    const startedAt = nowMillis()
    const going = yield* Effect.fork(Effect.forEach(others, ({ host }) => host.stop, together))
    const leave = yield* change("two leave", startedAt, 1)
    yield* Fiber.join(going)
    yield* Effect.sleep(`${seconds} seconds`)
    return [join, leave]
  })

/** Who brought what, against what was saved. Every customer is saved once, so every key is to arrive once. */
const judge = (saved: ReadonlyArray<string>, arrivals: ReadonlyArray<BenchSinks.Arrival>) => {
  const firstBy = new Map<string, string>()
  let duplicates = 0
  let duplicatesByAnother = 0
  for (const { key, owner } of arrivals) {
    const first = firstBy.get(key)
    if (first === undefined) firstBy.set(key, owner)
    else {
      duplicates += 1
      if (first !== owner) duplicatesByAnother += 1
    }
  }
  const lost = saved.filter((id) => !firstBy.has(`customer/${id}`)).length
  return { lost, duplicates, duplicatesByAnother }
}

const measure = (servers: Servers, rounds: number, seconds: number) =>
  Effect.gen(function* () {
    const { db } = yield* MongoDatabase.MongoDatabase
    const redis = yield* RedisConnection.RedisConnection
    const { mongoUri, redisUrl } = servers
    const members = yield* Effect.forEach(Array.from({ length: relays }), (_, at) =>
      Effect.map(RelayHost.make(), (host): Member => ({
        host,
        start: host.start({
          mongoUri,
          database: db.databaseName,
          owner: `relay-${at}`,
          sinks: [
            { name: "redis-mirror", kind: "mirror", redisUrl },
            { name: "log", kind: "log", redisUrl }
          ]
        })
      }))
    )
    const [first, ...others] = members
    if (first === undefined) return yield* Effect.dieMessage("there are several relays")
    yield* first.start
    yield* Slots.settled(1)
    const load = yield* BenchLoad.start({ groupCommit: true, keepsIds: true })
    yield* Effect.sleep("2 seconds")
    const changes: Array<Change> = []
    const cycles = Effect.gen(function* () {
      for (let at = 0; at < rounds; at++) changes.push(...(yield* comeAndGo(others, seconds)))
    })
    const savesPerSecond = yield* BenchLoad.savesPerSecond(load, cycles)
    yield* load.stop
    yield* BenchOutbox.emptied
    yield* first.host.stop
    const result: HandoverResult = {
      changes,
      worstSeconds: Math.max(...changes.map((one) => one.seconds)),
      saved: load.saved(),
      savesPerSecond: round(savesPerSecond),
      ...judge(load.ids, yield* BenchSinks.arrivals(redis, "log"))
    }
    return result
  })

/** (j) Two relays join one and leave again, under full load, several times. `seconds` lie between two changes. */
export const run = (servers: Servers, rounds: number, seconds: number) =>
  inDatabase(servers, "handover", measure(servers, rounds, seconds))

export const figures = (result: HandoverResult): ReadonlyArray<Figure> => [
  { name: "(j) 1 -> 3 -> 1 relays: messages lost", measured: result.lost, atMost: 0 },
  { name: "(j) 1 -> 3 -> 1 relays: messages that came twice", measured: result.duplicates, atMost: 0 },
  {
    name: "(j) 1 -> 3 -> 1 relays: until all slots are owned, at worst",
    measured: result.worstSeconds,
    unit: "s",
    atMost: 2 * heartbeatSeconds
  }
]
