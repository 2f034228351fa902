import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { KafkaServer } from "@twinbox/services"
import { Effect, Option } from "effect"
import { findKafka } from "../../../packages/services/src/KafkaProgram.ts"
import { type MavenJars, mavenDownload } from "../../../packages/services/src/MavenDownload.ts"
import { Unusable, type VersionCheck } from "../../../packages/services/src/ProgramVersion.ts"
import { reportToLog } from "../../../packages/services/src/Report.ts"
import { findProgram, type ServerProgram } from "../../../packages/services/src/ServerProgram.ts"

/** Kafka Connect with Debezium's connector for MongoDB, and what writes their logs. */
const debeziumJars: MavenJars = {
  label: "Debezium 3.1.3 and Kafka Connect 3.9.1 (35 MB)",
  cacheKey: "debezium-3.1.3",
  artifacts: [
    "org.apache.kafka:connect-runtime:3.9.1",
    "org.apache.kafka:connect-json:3.9.1",
    "io.debezium:debezium-connector-mongodb:3.1.3.Final",
    "org.slf4j:slf4j-reload4j:1.7.36"
  ],
  sha256: "5c6ef74d4f08439d6bf53b7b86298c88c6ec23e401a66e82e754c7560553d409"
}

/** A Java that runs Kafka Connect, and Debezium's jars. */
export interface DebeziumProgram {
  /** `path` is that of `java`, `version` that of Debezium. */
  readonly program: ServerProgram
  /** For `java -cp`. */
  readonly classPath: string
}

const connectorJar = /^debezium-connector-mongodb-(.+)\.jar$/

const debeziumVersion: VersionCheck = (folder) =>
  Effect.tryPromise({
    try: () => readdir(folder),
    catch: () => new Unusable({ message: "Debezium's jars are not there" })
  }).pipe(
    Effect.flatMap((names) => {
      const version = names.map((name) => connectorJar.exec(name)?.[1]).find((found) => found !== undefined)
      return version === undefined
        ? new Unusable({ message: "Debezium's connector is not among the jars" })
        : Effect.succeed(version)
    })
  )

/** Java of this machine, and Debezium's jars from the cache, fetched by Maven when they are not there yet. */
export const findDebezium = Effect.gen(function* () {
  const options = yield* KafkaServer.config({})
  const { program: java } = yield* findKafka(options)
  const debezium = yield* findProgram({
    service: "Debezium",
    program: Option.none(),
    searchPath: "",
    cacheFolder: options.cacheFolder,
    name: "Debezium",
    versionOf: debeziumVersion,
    downloads: [mavenDownload(debeziumJars, options.searchPath)],
    report: reportToLog,
    advice: "install Maven (mvn) so that it is on the PATH and can fetch Debezium"
  })
  const found: DebeziumProgram = {
    program: { ...debezium, path: java.path },
    classPath: join(debezium.path, "*")
  }
  return found
})
