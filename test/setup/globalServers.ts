import {
  KafkaServer,
  MongoServer,
  RedisServer,
  type Report,
  type ServiceErrorReason
} from "@twinbox/services"
import { Config, Effect, Exit, Option, Scope } from "effect"
import type { TestProject } from "vitest/node"
import { makeTemporaryFolder, sweepTemporaryFolders } from "../../packages/services/src/TemporaryFolders.ts"

declare module "vitest" {
  export interface ProvidedContext {
    /** The replica set of this run; take a database of your own with `testMongo`. */
    readonly mongoUri: string
    /** The Redis of this run; take a database of your own with `testRedis`. */
    readonly redisUrl: string
    /** Where the Kafka of this run keeps its data; `testKafka` starts it when the first test asks. */
    readonly kafkaFolder: string
    /** Why no Kafka can run on this machine: one sentence that says what to install. Undefined where one can. */
    readonly whyNoKafka: string | undefined
  }
}

/** So many databases that no two tests of a run ever need the same one. */
const redisDatabases = 4096

/** Only what takes long is worth a line in a test run. */
const report: Report = (line) =>
  line.includes("download") ? Effect.sync(() => process.stdout.write(`${line}\n`)) : Effect.void

/** Lets tests make single commands of single clients fail: https://github.com/mongodb/mongo/wiki/The-failCommand-Fail-Point */
const failPoints = ["--setParameter", "enableTestCommands=1"]

const absent: ReadonlySet<ServiceErrorReason> = new Set(["NotFound", "DownloadFailed"])

/** Tests take no Kafka of the environment. */
const otherAdvice = ", or set KAFKA_BROKERS to a Kafka you have"

/** Finds a Kafka, and fetches it where it is not in the cache yet. */
const whyNoKafka = KafkaServer.config({ report }).pipe(
  Effect.flatMap((options) => KafkaServer.find({ ...options, uri: Option.none() })),
  Effect.as(undefined),
  Effect.catchTag("ServiceError", (error) =>
    absent.has(error.reason) ? Effect.succeed(error.message.replace(otherAdvice, "")) : Effect.fail(error)
  )
)

/** Tests delete what they find, so they never run on a server that the environment names. */
const servers = Effect.gen(function* () {
  const mongo = yield* Config.map(
    MongoServer.config({ report, cacheGigabytes: 0.25, arguments: failPoints }),
    (options) => ({
      ...options,
      uri: Option.none()
    })
  )
  const redis = yield* Config.map(
    RedisServer.config({ report, arguments: ["--databases", String(redisDatabases)] }),
    (options) => ({ ...options, uri: Option.none() })
  )
  return yield* Effect.all([MongoServer.start(mongo), RedisServer.start(redis), whyNoKafka], {
    concurrency: 3
  })
})

/** A folder that this process uses until the end of the scope: a Kafka that a test starts on it lives as long. */
const kafkaFolder = Effect.acquireRelease(Effect.sync(makeTemporaryFolder), ({ leave }) =>
  Effect.zipRight(Effect.sync(leave), sweepTemporaryFolders)
)

/**
 * Starts one MongoDB replica set and one Redis for all test files of a run, and stops them at its end, with the Kafka
 * that was started meanwhile.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const scope = await Effect.runPromise(Scope.make())
  const stop = () => Effect.runPromise(Scope.close(scope, Exit.void))
  try {
    const [mongo, redis, noKafka] = await Effect.runPromise(Scope.extend(servers, scope))
    const kafka = await Effect.runPromise(Scope.extend(kafkaFolder, scope))
    project.provide("mongoUri", mongo.uri)
    project.provide("redisUrl", redis.uri)
    project.provide("kafkaFolder", kafka.path)
    project.provide("whyNoKafka", noKafka)
    if (noKafka !== undefined) process.stdout.write(`Tests with Kafka are skipped. ${noKafka}\n`)
    return stop
  } catch (error) {
    await stop()
    throw error
  }
}
