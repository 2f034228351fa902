import { parseArgs } from "node:util"
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Duration, Effect, Random } from "effect"
import * as Chaos from "./Chaos.ts"
import * as ChaosReport from "./ChaosReport.ts"

const usage = `npm run chaos -- [--minutes 30] [--seed N]

Kills, freezes and cuts off relays, writers, a MongoDB replica set and Redis, all started for it, then checks that
every message arrived, in order, and that every mirror shows what MongoDB has. Exits with 1 when a promise was broken.
  --minutes  for how long faults come
  --seed     repeats the faults of an earlier run: kinds, order and durations`

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    seed: { type: "string" },
    help: { type: "boolean", default: false }
  }
})

const print = (text: string) => Effect.sync(() => void process.stdout.write(`${text}\n`))

const endWith = (code: number) => Effect.sync(() => void (process.exitCode = code))

const minutes = Number(values.minutes)
const givenSeed = values.seed === undefined ? undefined : Number(values.seed)
const isUsable = minutes >= 0 && (givenSeed === undefined || Number.isSafeInteger(givenSeed))

const chooseSeed = givenSeed === undefined ? Random.nextIntBetween(0, 1_000_000) : Effect.succeed(givenSeed)

const main = Effect.gen(function* () {
  const seed = yield* chooseSeed
  const start = yield* Clock.currentTimeMillis
  const say = (line: string) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const elapsed = Math.round(Duration.toSeconds(Duration.millis(now - start)))
      return print(`${String(elapsed).padStart(5)} s  ${line}`)
    })
  yield* print(`seed ${seed}`)
  const outcome = yield* Chaos.run({
    seed,
    minutes,
    relays: 3,
    writers: 2,
    leaseMillis: 6_000,
    writePauseMillis: 100,
    say
  })
  yield* print(ChaosReport.failures(outcome))
  yield* print(`\n${ChaosReport.table(outcome)}`)
  if (outcome.verdict.violations.length === 0) return
  yield* print(ChaosReport.lastWords(outcome))
  yield* endWith(1)
})

const refuse = Effect.zipRight(print(usage), endWith(2))

NodeRuntime.runMain(values.help ? print(usage) : isUsable ? main : refuse)
