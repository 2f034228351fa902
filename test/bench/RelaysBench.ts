import { Effect } from "effect"
import * as BenchLoad from "./BenchLoad.ts"
import { inDatabase, type Servers } from "./BenchServers.ts"
import type { Figure } from "./Figure.ts"
import { median, round } from "./Measure.ts"
import * as RelayHost from "./RelayHost.ts"
import * as Slots from "./Slots.ts"

export interface RelaysResult {
  readonly groupCommit: boolean
  readonly relays: number
  readonly savesPerSecond: number
  /** Against no relay. */
  readonly ratio: number
  /** Of all relays together, while the saves were counted. */
  readonly deliveredPerSecond: number
}

const counts = [0, 1, 3, 10]

const warmUpSeconds = 2

interface Sample {
  readonly savesPerSecond: number
  readonly deliveredPerSecond: number
}

const delivered = (hosts: ReadonlyArray<RelayHost.RelayHost>) =>
  Effect.map(
    Effect.forEach(hosts, ({ report }) => report),
    (reports) => reports.reduce((sum, { sinks }) => sum + (sinks["log"]?.count ?? 0), 0)
  )

const sample = (
  servers: Servers,
  hosts: ReadonlyArray<RelayHost.RelayHost>,
  groupCommit: boolean,
  database: string,
  seconds: number
) =>
  inDatabase(
    servers,
    database,
    Effect.gen(function* () {
      const sinks = [{ name: "log", kind: "log" as const, redisUrl: servers.redisUrl, keeps: 10_000 }]
      yield* Effect.forEach(hosts, (host, at) =>
        host.start({ mongoUri: servers.mongoUri, database, owner: `relay-${at}`, sinks })
      )
      if (hosts.length > 0) yield* Slots.settled(hosts.length)
      const load = yield* BenchLoad.start({ groupCommit })
      yield* Effect.sleep("2 seconds")
      const before = yield* delivered(hosts)
      const savesPerSecond = yield* BenchLoad.savesPerSecond(load, Effect.sleep(`${seconds} seconds`))
      const after = yield* delivered(hosts)
      yield* load.stop
      yield* Effect.forEach(hosts, ({ stop }) => stop, { concurrency: "unbounded", discard: true })
      const result: Sample = { savesPerSecond, deliveredPerSecond: (after - before) / seconds }
      return result
    })
  )

const compare = (
  servers: Servers,
  hosts: ReadonlyArray<RelayHost.RelayHost>,
  groupCommit: boolean,
  rounds: number,
  seconds: number
) =>
  Effect.gen(function* () {
    const samples = new Map<number, Array<Sample>>(counts.map((count) => [count, []]))
    // The first round only warms up.
    for (let at = 0; at <= rounds; at++) {
      const long = at === 0 ? Math.min(warmUpSeconds, seconds) : seconds
      for (const count of counts) {
        const database = `relays_${groupCommit ? "group" : "single"}_${at}_${count}`
        const one = yield* sample(servers, hosts.slice(0, count), groupCommit, database, long)
        if (at > 0) samples.get(count)?.push(one)
      }
    }
    const savesWith = (count: number) =>
      median((samples.get(count) ?? []).map(({ savesPerSecond }) => savesPerSecond))
    return counts.map((relays): RelaysResult => ({
      groupCommit,
      relays,
      savesPerSecond: round(savesWith(relays)),
      ratio: round(savesWith(relays) / savesWith(0), 3),
      deliveredPerSecond: round(
        median((samples.get(relays) ?? []).map(({ deliveredPerSecond }) => deliveredPerSecond))
      )
    }))
  })

/** (h) Saves a second while 0, 1, 3 and 10 relays run, each in a process of its own. */
export const run = (servers: Servers, rounds: number, seconds: number) =>
  Effect.gen(function* () {
    const hosts = yield* Effect.forEach(
      Array.from({ length: Math.max(...counts) }, () => RelayHost.make()),
      (host) => host
    )
    const grouped = yield* compare(servers, hosts, true, rounds, seconds)
    const alone = yield* compare(servers, hosts, false, rounds, seconds)
    return [...grouped, ...alone]
  }).pipe(Effect.scoped)

export const figures = (results: ReadonlyArray<RelaysResult>): ReadonlyArray<Figure> =>
  results
    .filter(({ relays }) => relays > 0)
    .map(({ groupCommit, ratio, relays }) => ({
      name: `(h) saves${groupCommit ? " with group commit" : ""}, ${relays} ${relays === 1 ? "relay" : "relays"} / none`,
      measured: ratio
    }))
