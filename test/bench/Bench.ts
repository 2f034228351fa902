import { mkdir, writeFile } from "node:fs/promises"
import { cpus } from "node:os"
import { parseArgs } from "node:util"
import { NodeRuntime } from "@effect/platform-node"
import { Effect } from "effect"
import * as AnonymizeBench from "./AnonymizeBench.ts"
import * as ApiBench from "./ApiBench.ts"
import * as BacklogBench from "./BacklogBench.ts"
import { layerOf, startServers } from "./BenchServers.ts"
import * as CreateBench from "./CreateBench.ts"
import * as DrainBench from "./DrainBench.ts"
import * as ExportBench from "./ExportBench.ts"
import { type Figure, table } from "./Figure.ts"
import * as HandoverBench from "./HandoverBench.ts"
import * as HotKeyBench from "./HotKeyBench.ts"
import * as IdleBench from "./IdleBench.ts"
import * as KafkaBench from "./KafkaBench.ts"
import * as LatencyBench from "./LatencyBench.ts"
import * as RelaysBench from "./RelaysBench.ts"
import * as SinksBench from "./SinksBench.ts"
import * as SyncBench from "./SyncBench.ts"
import * as TwoWayBench from "./TwoWayBench.ts"

const names =
  "create,hotkey,drain,latency,anonymize,sinks,backlog,relays,idle,handover,twoway,api,kafka,export,sync"

const usage = `npm run bench -- [--only ${names}] [--rounds 5] [--scale 1] [--seconds 10]

Measures Twinbox on real servers started for it, side by side with hand-written code or with itself when all is well.
  --only     some of the measurements
  --documents  how many customers 'sync' goes through. Default 1000000, times the scale
  --rounds   how often each pair takes turns; medians are reported
  --scale    share of the full size, 0.1 for a quick look
  --seconds  how long 'sinks' has one of its sinks down, 'relays' and 'handover' look at one number of relays, and
             'twoway' and 'kafka' write; times the scale
Results are written to test/bench/results/.`

const { values } = parseArgs({
  options: {
    only: { type: "string", default: names },
    rounds: { type: "string", default: "5" },
    scale: { type: "string", default: "1" },
    seconds: { type: "string", default: "10" },
    documents: { type: "string", default: "1000000" },
    help: { type: "boolean", default: false }
  }
})

const wanted = new Set(values.only.split(","))
const rounds = Number(values.rounds)
const scale = Number(values.scale)
const seconds = Math.max(1, Number(values.seconds) * scale)
const documents = Math.ceil(Number(values.documents) * scale)

const print = (text: string) => Effect.sync(() => void process.stdout.write(`${text}\n`))

const createFigures = (results: ReadonlyArray<CreateBench.CreateResult>): ReadonlyArray<Figure> =>
  results.flatMap((one) => [
    { name: `(a) create / by hand, ${one.concurrency} at once`, measured: one.createRatio, atLeast: 0.95 },
    ...(one.concurrency === 64
      ? [{ name: "(a) group commit / by hand, 64 at once", measured: one.groupRatio, atLeast: 5 }]
      : [])
  ])

const hotKeyFigures = (results: ReadonlyArray<HotKeyBench.HotKeyResult>): ReadonlyArray<Figure> =>
  results.map((one) => ({
    name: `64 writers of one customer / one after another, group commit ${one.groupCommit}`,
    measured: one.ratio,
    atLeast: 0.7
  }))

const latencyFigures = (results: ReadonlyArray<LatencyBench.LatencyResult>): ReadonlyArray<Figure> =>
  results.map((one) => ({
    name: `(c) p50 save -> Redis / by hand, ${one.database}`,
    measured: one.p50Ratio,
    atMost: 1.5
  }))

const measureAll = Effect.gen(function* () {
  const { mongo, redis } = yield* startServers
  const servers = { mongoUri: mongo.uri, redisUrl: redis.uri }
  const live = (database: string) => layerOf(servers.mongoUri, database, servers.redisUrl)
  const figures: Array<Figure> = []
  const results: Record<string, unknown> = {}
  const measure = <A, E, R>(
    name: string,
    work: Effect.Effect<A, E, R>,
    figuresOf: (result: A) => ReadonlyArray<Figure>
  ) =>
    wanted.has(name)
      ? Effect.gen(function* () {
          yield* print(`measuring ${name} ...`)
          const result = yield* work
          results[name] = result
          yield* print(JSON.stringify(result, undefined, 2))
          figures.push(...figuresOf(result))
        })
      : Effect.void
  const few = Math.min(rounds, 3)
  yield* measure("create", Effect.provide(CreateBench.run(rounds, scale), live("create")), createFigures)
  yield* measure("hotkey", Effect.provide(HotKeyBench.run(rounds, scale), live("hotkey")), hotKeyFigures)
  yield* measure("drain", DrainBench.run(servers, few, scale), (one) => [
    { name: "(b) relay drain / loop by hand", measured: one.ratio, atLeast: 0.8 }
  ])
  yield* measure(
    "latency",
    Effect.provide(LatencyBench.run(servers, Math.min(rounds, 4), scale), live("latency")),
    latencyFigures
  )
  yield* measure("anonymize", AnonymizeBench.run(rounds, scale), (one) => [
    { name: "(d) anonymize / bare HMAC calls", measured: one.ratio, atLeast: 0.7 }
  ])
  yield* measure("sinks", SinksBench.run(servers, few, seconds), SinksBench.figures)
  yield* measure("backlog", BacklogBench.run(servers, few, scale), BacklogBench.figures)
  yield* measure("relays", RelaysBench.run(servers, few, seconds), RelaysBench.figures)
  yield* measure("idle", IdleBench.run(servers, scale), IdleBench.figures)
  yield* measure("handover", HandoverBench.run(servers, rounds, seconds), HandoverBench.figures)
  yield* measure("twoway", TwoWayBench.run(servers, few, seconds), TwoWayBench.figures)
  yield* measure("api", ApiBench.run(servers, rounds, scale), ApiBench.figures)
  yield* measure("kafka", KafkaBench.run(servers, few, scale, seconds), KafkaBench.figures)
  yield* measure("export", ExportBench.run(servers, few, scale), ExportBench.figures)
  yield* measure("sync", SyncBench.run(servers, few, documents), SyncBench.figures)
  return { figures, results }
})

const write = (results: unknown) =>
  Effect.promise(async () => {
    const folder = new URL("results/", import.meta.url)
    await mkdir(folder, { recursive: true })
    const at = new Date().toISOString()
    const file = new URL(`bench-${at.replaceAll(":", "-")}.json`, folder)
    const machine = { cores: cpus().length, node: process.version }
    await writeFile(file, JSON.stringify({ at, machine, rounds, scale, seconds, results }, undefined, 2))
    return file.pathname
  })

const main = Effect.gen(function* () {
  const { figures, results } = yield* measureAll
  const file = yield* write(results)
  yield* print(`\n${table(figures)}\n\nwritten to ${file}`)
}).pipe(Effect.scoped)

NodeRuntime.runMain(values.help ? print(usage) : main)
