import { MongoIndexes } from "@twinbox/mongodb"
import { Key } from "@twinbox/outbox"
import { Clock, Data, Duration, Effect, Logger, LogLevel, Schedule } from "effect"
import type { Db } from "mongodb"
import { customerCollection, customerStream } from "../../examples/reference-app/src/Customer.ts"
import { inspectCustomers } from "../setup/mirroredCustomers.ts"
import * as ChaosPlan from "./ChaosPlan.ts"
import type { ChaosProcess } from "./ChaosProcess.ts"
import * as ChaosWorld from "./ChaosWorld.ts"
import * as DeliveryLog from "./DeliveryLog.ts"
import * as Faults from "./Faults.ts"
import { judge, type Verdict } from "./Verdict.ts"

export interface Options extends ChaosWorld.Options {
  /** Chooses the faults, their order and their durations. */
  readonly seed: number
  /** For how long faults come; those of one deck come in any case. */
  readonly minutes: number
  /** Given a line on how things stand, every few seconds. */
  readonly say: (line: string) => Effect.Effect<void>
}

export interface Outcome {
  readonly seed: number
  readonly verdict: Verdict
  readonly faults: Faults.FaultRecord
  readonly committed: number
  readonly arrived: number
  /** From the last fault's end until the outbox was empty. */
  readonly drained: Duration.Duration
  /** What processes printed last that ended though nobody killed them, by name. */
  readonly failures: ReadonlyMap<string, ReadonlyArray<string>>
  /** What each process printed last, by name. */
  readonly lastWords: ReadonlyMap<string, string>
}

class MongoAway extends Data.TaggedError("MongoAway")<{ readonly cause: unknown }> {}

const sayEvery = Duration.seconds(5)

/** Patience with the start of all processes. */
const warmWithin = Duration.minutes(2)

/** Patience with the delivery of what is left when the faults are over. */
const drainWithin = Duration.minutes(2)

const patience = Schedule.spaced("200 millis").pipe(Schedule.upTo("60 seconds"))

const ask = <A>(call: () => Promise<A>) =>
  Effect.tryPromise({ try: call, catch: (cause) => new MongoAway({ cause }) }).pipe(Effect.retry(patience))

/** How many messages wait to be delivered. */
const depth = (db: Db) =>
  ask(() => db.collection(MongoIndexes.collections.outbox).countDocuments({ key: { $ne: "" } }))

/** Last versions of all customers that ever were, by message key. */
const readVersions = (db: Db) =>
  ask(async () => {
    const versions = new Map<string, number>()
    for (const name of [`${customerCollection}_tombstones`, customerCollection]) {
      const found = db.collection<{ _id: string; version: number }>(name)
      for await (const { _id, version } of found.find({}, { projection: { version: 1 } })) {
        versions.set(Key.make(customerStream, _id), version)
      }
    }
    return versions
  })

/** Faults meet a system that works. */
const untilWarm = (world: ChaosWorld.ChaosWorld) =>
  DeliveryLog.count(world.logRedis).pipe(
    Effect.repeat({ until: (count) => count > 0, schedule: Schedule.spaced("100 millis") }),
    Effect.timeout(warmWithin)
  )

/** Takes faults from the plan, in several lanes, until the time is over. */
const cause = (world: ChaosWorld.ChaosWorld, record: Faults.FaultRecord, options: Options) =>
  Effect.gen(function* () {
    const plan = ChaosPlan.make(options)
    const apply = Faults.make(world, record)
    const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(Duration.minutes(options.minutes))
    let dealt = 0
    const lane = Effect.gen(function* () {
      while (dealt < ChaosPlan.deckSize || (yield* Clock.currentTimeMillis) < end) {
        dealt += 1
        const planned = plan.next().value
        yield* Effect.sleep(Duration.millis(planned.pauseMillis))
        yield* apply(planned)
      }
    })
    yield* Effect.all(
      Array.from({ length: Faults.atOnce }, () => lane),
      { concurrency: "unbounded", discard: true }
    )
  })

const stopAll = (processes: ReadonlyArray<ChaosProcess>, record: Faults.FaultRecord) =>
  Effect.forEach(
    processes,
    (process) =>
      Effect.map(process.stop, (inTime) => {
        if (!inTime) record.incidents.push(`${process.name} did not end when it was asked to`)
      }),
    { concurrency: "unbounded", discard: true }
  )

/** Waits until everything is delivered, or for too long: the verdict will show it. */
const drain = (world: ChaosWorld.ChaosWorld) =>
  depth(world.db).pipe(
    Effect.repeat({ until: (count) => count === 0, schedule: Schedule.spaced("100 millis") }),
    Effect.timeoutOption(drainWithin),
    Effect.timed,
    Effect.map(([taken]) => taken)
  )

const progress = (world: ChaosWorld.ChaosWorld, record: Faults.FaultRecord, options: Options) =>
  Effect.gen(function* () {
    const [waiting, arrived] = yield* Effect.all([depth(world.db), DeliveryLog.count(world.logRedis)])
    const now = [...record.active].map(({ kind }) => kind).join(", ")
    yield* options.say(
      `${record.begun} faults, ${record.kills} kills; ${world.audit.committed.size} messages committed, ${arrived} arrivals, ${waiting} wait; now: ${now || "nothing"}`
    )
  }).pipe(Effect.ignore, Effect.repeat(Schedule.spaced(sayEvery)))

const collect = (world: ChaosWorld.ChaosWorld, record: Faults.FaultRecord) =>
  Effect.gen(function* () {
    const log = yield* DeliveryLog.read(world.logRedis)
    const versions = yield* readVersions(world.db)
    const findings = yield* inspectCustomers({
      mongoUri: world.mongo.uri,
      redisUrl: world.mirrorServer.uri,
      secret: ChaosWorld.secret
    })
    return { committed: world.audit.committed, log, versions, findings, incidents: record.incidents }
  })

const byName = <A>(processes: ReadonlyArray<ChaosProcess>, what: (process: ChaosProcess) => A) =>
  new Map(processes.map((process) => [process.name, what(process)]))

/**
 * Runs relays and writers in processes of their own, does to them and their servers what the seed's plan says, lets
 * everything come to rest, and judges what arrived. Fails only when the harness itself does not work.
 */
export const run = (options: Options) =>
  Effect.gen(function* () {
    const world = yield* ChaosWorld.start(options)
    const record = new Faults.FaultRecord()
    yield* untilWarm(world)
    yield* Effect.forkScoped(progress(world, record, options))
    yield* cause(world, record, options)
    yield* options.say("no more faults; waiting until everything is delivered")
    yield* stopAll(world.writers, record)
    yield* world.audit.catchUp
    const drained = yield* drain(world)
    yield* stopAll(world.relays, record)
    const evidence = yield* collect(world, record)
    const processes = [...world.relays, ...world.writers]
    const outcome: Outcome = {
      seed: options.seed,
      verdict: judge(evidence),
      faults: record,
      committed: evidence.committed.size,
      arrived: evidence.log.length,
      drained,
      failures: byName(processes, (process) => process.failures()),
      lastWords: byName(processes, (process) => process.lastWords())
    }
    return outcome
  }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.Error))
