import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect, Option, Schema } from "effect"
import { startGroup } from "../../../packages/services/src/ServerGroup.ts"
import { reportToLog } from "../../../packages/services/src/Report.ts"
import { makeServerProcess } from "../../../packages/services/src/ServerProcess.ts"
import { serverFolder } from "../../../packages/services/src/ServerRecord.ts"
import { ServiceError } from "../../../packages/services/src/ServiceError.ts"
import { documented, type Places, toText } from "./ConnectSettings.ts"
import { type DebeziumProgram, findDebezium } from "./DebeziumProgram.ts"

export interface Options extends Omit<Places, "port" | "offsetsFile"> {
  /** Options of Java, the size of the heap among them. */
  readonly javaArguments: ReadonlyArray<string>
}

/** Name of the connector in its properties. */
const connector = "twinbox-outbox"

const Status = Schema.Struct({ tasks: Schema.Array(Schema.Struct({ state: Schema.String })) })

const isRunning = (status: unknown): boolean =>
  Schema.is(Status)(status) &&
  status.tasks.length > 0 &&
  status.tasks.every(({ state }) => state === "RUNNING")

/** Whether the connector's task runs: https://kafka.apache.org/documentation/#connect_rest */
const probe = (port: number): Effect.Effect<void, ServiceError> =>
  Effect.tryPromise(async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/connectors/${connector}/status`)
    if (!isRunning(await answer.json())) throw new Error("the task does not run yet")
  }).pipe(
    Effect.mapError(
      (cause) =>
        new ServiceError({
          service: "Debezium",
          reason: "Unreachable",
          message: `No connector runs in Kafka Connect at 127.0.0.1:${port}.`,
          retryable: true,
          cause
        })
    )
  )

const files = (folder: string) => ({
  worker: join(folder, "worker.properties"),
  connector: join(folder, "outbox.properties"),
  log: join(folder, "log4j.properties")
})

const logSettings = `log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
`

const writeFiles = (options: Options, folder: string) => (port: number, dataFolder: string) =>
  Effect.gen(function* () {
    const settings = yield* documented({ ...options, port, offsetsFile: join(dataFolder, "offsets") })
    const names = files(folder)
    yield* Effect.promise(async () => {
      await writeFile(names.worker, toText(settings.worker))
      await writeFile(names.connector, toText(settings.connector))
      await writeFile(names.log, logSettings)
    })
  })

const specOf = (options: Options, { classPath, program }: DebeziumProgram, folder: string) =>
  makeServerProcess({
    service: "Debezium",
    program,
    folder,
    port: Option.none(),
    prepare: writeFiles(options, folder),
    arguments: () => [
      ...options.javaArguments,
      `-Dlog4j.configuration=file:${files(folder).log}`,
      "-cp",
      classPath,
      "org.apache.kafka.connect.cli.ConnectStandalone",
      files(folder).worker,
      files(folder).connector
    ],
    probe,
    startTimeout: "90 seconds",
    stopTimeout: "10 seconds",
    report: reportToLog
  })

/** Kafka Connect in one process, with Debezium's connector in it; both end with the scope. */
export const start = (options: Options) =>
  Effect.gen(function* () {
    const program = yield* findDebezium
    yield* reportToLog("Debezium: starting, which takes some seconds ...")
    const [process] = yield* startGroup({
      service: "Debezium",
      dataFolder: Option.none(),
      processes: (folder) => [specOf(options, program, serverFolder(folder, 0))],
      unite: () => Effect.void,
      report: reportToLog
    })
    if (process === undefined) return yield* Effect.dieMessage("a group has the processes it was given")
    return process
  })
