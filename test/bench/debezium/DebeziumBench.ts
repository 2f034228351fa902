import { loadavg } from "node:os"
import { parseArgs } from "node:util"
import { NodeRuntime } from "@effect/platform-node"
import { MongoOutbox } from "@twinbox/mongodb"
import { MongoServer } from "@twinbox/services"
import { Effect, Layer, Option, Redacted } from "effect"
import { type Figure, table } from "../Figure.ts"
import { startKafka } from "../KafkaBenchParts.ts"
import { round } from "../Measure.ts"
import * as Comparison from "./Comparison.ts"
import type { Contender } from "./Contender.ts"
import * as DebeziumCheck from "./DebeziumCheck.ts"
import * as DebeziumContender from "./DebeziumContender.ts"
import * as RelayContender from "./RelayContender.ts"

const usage = `npm run bench:debezium -- [--messages 20000] [--runs 10] [--seconds 20] [--check]

Brings the same messages from the outbox in MongoDB to Kafka, by Debezium's connector with its outbox event router and by
Twinbox's relay, in turns on the same servers, and compares them.
  --messages  of one run
  --runs      one after another, by one process; medians of the last three are reported
  --seconds   how long latency is measured, and then what it costs to have nothing to do
  --java-flags, --relay-flags  options of the two processes, as in --relay-flags="--max-semi-space-size=8"
  --profile   folder for a CPU profile of the relay's process
  --check     measures nothing: compares what both write to Kafka, record by record
The first run fetches Debezium and Kafka Connect (35 MB) by Maven into the cache.`

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "20000" },
    runs: { type: "string", default: "10" },
    seconds: { type: "string", default: "20" },
    "java-flags": { type: "string", default: "-Xms256m -Xmx2g" },
    "relay-flags": {
      type: "string",
      default: "--max-semi-space-size=8 --heap-growing-percent=100 --no-allocation-site-pretenuring"
    },
    profile: { type: "string" },
    check: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})

const sizes: Comparison.Sizes = {
  messages: Number(values.messages),
  runs: Number(values.runs),
  seconds: Number(values.seconds)
}

const print = (text: string) => Effect.sync(() => void process.stdout.write(`${text}\n`))

const profiling = values.profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${values.profile}`]

const relayFlags = [...values["relay-flags"].split(" ").filter((flag) => flag !== ""), ...profiling]
const javaFlags = values["java-flags"].split(" ")

/** A fresh database with the outbox in it. */
const outboxIn = (mongoUri: string, database: string) =>
  MongoOutbox.layer({ uri: Redacted.make(mongoUri), database })

const figures = (debezium: Comparison.Showing, twinbox: Comparison.Showing): ReadonlyArray<Figure> => {
  const ratio = (name: keyof Comparison.Showing) => round(twinbox[name] / debezium[name], 2)
  return [
    { name: "throughput, Twinbox / Debezium", measured: ratio("messagesPerSecond"), atLeast: 1 },
    { name: "latency, p50", measured: ratio("p50Millis"), atMost: 0.5 },
    { name: "latency, p99", measured: ratio("p99Millis"), atMost: 0.5 },
    { name: "memory", measured: ratio("rssMegabytes"), atMost: 0.4 },
    { name: "CPU of a run", measured: ratio("cpuSeconds") },
    { name: "CPU with nothing to do, Twinbox", measured: twinbox.idlePercent, unit: "% of a core", atMost: 1 }
  ]
}

const servers = Effect.gen(function* () {
  const mongo = yield* MongoServer.config({ snapshotHistorySeconds: 300, cacheGigabytes: 2 })
  return yield* Effect.all({ mongo: MongoServer.start({ ...mongo, uri: Option.none() }), kafka: startKafka })
})

/** Starts one of them on a database of its own, both of which end with the scope. */
const inDatabase = <E, R>(mongoUri: string, database: string, start: Effect.Effect<Contender, E, R>) =>
  Effect.flatMap(Layer.build(outboxIn(mongoUri, database)), (context) => Effect.provide(start, context))

const startBoth = (mongoUri: string, brokers: string) => ({
  debezium: DebeziumContender.start(mongoUri, brokers, javaFlags),
  twinbox: RelayContender.start(mongoUri, brokers, relayFlags)
})

const compare = Effect.gen(function* () {
  const { kafka, mongo } = yield* servers
  const starts = startBoth(mongo.uri, kafka.brokers)
  const debezium = yield* inDatabase(mongo.uri, "debezium", starts.debezium)
  const twinbox = yield* inDatabase(mongo.uri, "twinbox", starts.twinbox)
  const [theirs, ours] = yield* Comparison.run([debezium, twinbox], kafka.brokers, sizes)
  if (theirs === undefined || ours === undefined) return yield* Effect.dieMessage("both were measured")
  yield* print(JSON.stringify({ Debezium: theirs, Twinbox: ours }, undefined, 2))
  yield* print(`\n${table(figures(theirs, ours))}`)
  yield* print(
    `\nload of the machine in the last 1, 5 and 15 minutes: ${loadavg()
      .map((load) => load.toFixed(1))
      .join(", ")}`
  )
}).pipe(Effect.scoped)

const check = Effect.gen(function* () {
  const { kafka, mongo } = yield* servers
  const starts = startBoth(mongo.uri, kafka.brokers)
  const findings = yield* Effect.gen(function* () {
    const debezium = yield* starts.debezium
    const relay = yield* starts.twinbox
    return yield* DebeziumCheck.run(relay, debezium, kafka.brokers)
  }).pipe(Effect.provide(outboxIn(mongo.uri, "check")))
  yield* print(DebeziumCheck.toText(findings))
  if (!DebeziumCheck.isWell(findings)) process.exitCode = 1
}).pipe(Effect.scoped)

NodeRuntime.runMain(values.help ? print(usage) : values.check ? check : compare)
