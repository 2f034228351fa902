import { delimiter, join } from "node:path"
import { Effect, Option } from "effect"
import { kafkaJars, mavenDownload } from "./MavenDownload.ts"
import { programVersion, Unusable, type VersionCheck } from "./ProgramVersion.ts"
import { reportToLog } from "./Report.ts"
import { runCommand } from "./RunCommand.ts"
import type { ServerOptions } from "./ServerHandle.ts"
import { findProgram, type ServerProgram } from "./ServerProgram.ts"
import type { ServiceError } from "./ServiceError.ts"

/** A Java that runs Kafka, and Kafka's jars. */
export interface KafkaProgram {
  /** `path` is that of `java`, `version` that of Kafka. */
  readonly program: ServerProgram
  /** For `java -cp`. */
  readonly classPath: string
}

const orSetBrokers = "or set KAFKA_BROKERS to a Kafka you have"

const java = { pattern: /^\S+ (\d+(?:\.\d+)*)/, minimum: [17, 0] } as const

const classPathOf = (jars: string): string => join(jars, "*")

/** Starts as fast as Java can: what runs for a moment gains nothing from being optimised. */
const brief = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xmx256m"]

/** Runs one of Kafka's own programs to its end. */
export const runKafkaTool = (java: string, classPath: string, main: string, args: ReadonlyArray<string>) =>
  runCommand(java, [...brief, "-cp", classPath, main, ...args], { limit: "60 seconds" })

const kafkaVersion =
  (java: string): VersionCheck =>
  (jars) =>
    runKafkaTool(java, classPathOf(jars), "kafka.Kafka", ["--version"]).pipe(
      Effect.mapError((error) => new Unusable({ message: `Kafka does not run (${error.message})` })),
      Effect.flatMap((output) => {
        const version = /^(\d+\.\d+\.\d+)/.exec(output)?.[1]
        return version === undefined
          ? new Unusable({ message: "Kafka does not say its version" })
          : Effect.succeed(version)
      })
    )

/** Where Java is looked for: JAVA_HOME goes before PATH. */
export const javaSearchPath = (javaHome: Option.Option<string>, searchPath: string): string =>
  Option.match(javaHome, {
    onNone: () => searchPath,
    onSome: (home) => [join(home, "bin"), searchPath].join(delimiter)
  })

/** Java 17 or newer on this machine, and Kafka's jars from the cache, fetched by Maven when they are not there yet. */
export const findKafka = (
  options: ServerOptions & { readonly javaHome: Option.Option<string> }
): Effect.Effect<KafkaProgram, ServiceError> =>
  Effect.gen(function* () {
    const search = {
      service: "Kafka" as const,
      program: Option.none(),
      cacheFolder: options.cacheFolder,
      report: options.report ?? reportToLog
    }
    const { path } = yield* findProgram({
      ...search,
      searchPath: javaSearchPath(options.javaHome, options.searchPath),
      name: "java",
      versionOf: programVersion(java),
      downloads: [],
      advice: `install Java 17 or newer so that it is on the PATH or JAVA_HOME names it, ${orSetBrokers}`
    })
    const kafka = yield* findProgram({
      ...search,
      searchPath: "",
      name: "Kafka",
      versionOf: kafkaVersion(path),
      downloads: options.downloads ?? [mavenDownload(kafkaJars, options.searchPath)],
      advice: `install Maven (mvn) so that it is on the PATH and can fetch Kafka, ${orSetBrokers}`
    })
    return { program: { ...kafka, path }, classPath: classPathOf(kafka.path) }
  })
