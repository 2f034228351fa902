import { mkdir, writeFile } from "node:fs/promises"
import { cpus } from "node:os"
import { parseArgs } from "node:util"
import { NodeRuntime } from "@effect/platform-node"
import { Effect } from "effect"
import * as AnonymizeBench from "./AnonymizeBench.ts"
import { layerOf, startServers } from "./BenchServers.ts"
import * as CreateBench from "./CreateBench.ts"
import * as DrainBench from "./DrainBench.ts"
import * as HotKeyBench from "./HotKeyBench.ts"
import * as LatencyBench from "./LatencyBench.ts"

const usage = `npm run bench -- [--only create,hotkey,drain,latency,anonymize] [--rounds 5] [--scale 1]

Measures Twinbox side by side with hand-written code, on real servers started for it, and prints ratios.
  --only     some of the five measurements
  --rounds   how often each pair takes turns; medians are reported
  --scale    share of the full size, 0.1 for a quick look
Results are written to test/bench/results/.`

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "create,hotkey,drain,latency,anonymize" },
    rounds: { type: "string", default: "5" },
    scale: { type: "string", default: "1" },
    help: { type: "boolean", default: false }
  }
})

const wanted = new Set(values.only.split(","))
const rounds = Number(values.rounds)
const scale = Number(values.scale)

const print = (text: string) => Effect.sync(() => void process.stdout.write(`${text}\n`))

/** Targets as ratios in one run: at least, or at most where `atMost`. */
const line = (name: string, ratio: number, target: number, atMost = false) => {
  const met = atMost ? ratio <= target : ratio >= target
  return `${met ? "met   " : "MISSED"}  ${name}: ${ratio} (target ${atMost ? "at most" : "at least"} ${target})`
}

const createLines = (results: ReadonlyArray<CreateBench.CreateResult>) =>
  results.flatMap((one) => [
    line(`(a) create / by hand, ${one.concurrency} at once`, one.createRatio, 0.95),
    ...(one.concurrency === 64 ? [line("(a) group commit / by hand, 64 at once", one.groupRatio, 5)] : [])
  ])

const latencyLines = (results: ReadonlyArray<LatencyBench.LatencyResult>) =>
  results.map((one) => line(`(c) p50 save -> Redis / by hand, ${one.database}`, one.p50Ratio, 1.5, true))

const measureAll = Effect.gen(function* () {
  const { mongo, redis } = yield* startServers
  const servers = { mongoUri: mongo.uri, redisUrl: redis.uri }
  const live = (database: string) => layerOf(servers.mongoUri, database, servers.redisUrl)
  const lines: Array<string> = []
  const results: Record<string, unknown> = {}
  const measure = <A, E, R>(
    name: string,
    work: Effect.Effect<A, E, R>,
    linesOf: (result: A) => ReadonlyArray<string>
  ) =>
    wanted.has(name)
      ? Effect.gen(function* () {
          yield* print(`measuring ${name} ...`)
          const result = yield* work
          results[name] = result
          yield* print(JSON.stringify(result, undefined, 2))
          lines.push(...linesOf(result))
        })
      : Effect.void
  yield* measure("create", Effect.provide(CreateBench.run(rounds, scale), live("create")), createLines)
  yield* measure("hotkey", Effect.provide(HotKeyBench.run(rounds, scale), live("hotkey")), (results) =>
    results.map((one) =>
      line(`64 writers of one customer / one after another, group commit ${one.groupCommit}`, one.ratio, 0.7)
    )
  )
  yield* measure("drain", DrainBench.run(servers, Math.min(rounds, 3), scale), (one) => [
    line("(b) relay drain / loop by hand", one.ratio, 0.8)
  ])
  yield* measure(
    "latency",
    Effect.provide(LatencyBench.run(servers, Math.min(rounds, 4), scale), live("latency")),
    latencyLines
  )
  yield* measure("anonymize", AnonymizeBench.run(rounds, scale), (one) => [
    line("(d) anonymize / bare HMAC calls", one.ratio, 0.7)
  ])
  return { lines, results }
})

const write = (results: unknown) =>
  Effect.promise(async () => {
    const folder = new URL("results/", import.meta.url)
    await mkdir(folder, { recursive: true })
    const at = new Date().toISOString()
    const file = new URL(`bench-${at.replaceAll(":", "-")}.json`, folder)
    const machine = { cores: cpus().length, node: process.version }
    await writeFile(file, JSON.stringify({ at, machine, rounds, scale, results }, undefined, 2))
    return file.pathname
  })

const main = Effect.gen(function* () {
  const { lines, results } = yield* measureAll
  const file = yield* write(results)
  yield* print(`\n${lines.join("\n")}\n\nwritten to ${file}`)
}).pipe(Effect.scoped)

NodeRuntime.runMain(values.help ? print(usage) : main)
