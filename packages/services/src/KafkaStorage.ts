import { randomBytes } from "node:crypto"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { freePort } from "./FreePort.ts"
import { type KafkaProgram, runKafkaTool } from "./KafkaProgram.ts"

/** Settings of Kafka and of its log, in the server's own folder. */
export const settingsFile = (folder: string): string => join(folder, "server.properties")
export const logSettingsFile = (folder: string): string => join(folder, "log4j.properties")

const properties = (values: Readonly<Record<string, string | number | boolean>>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("")

const nodeId = 1
const mib = 1024 * 1024

/** One process that is broker and controller. What Kafka keeps three copies of in earnest has one here. */
const settingsOf = (port: number, controllerPort: number, dataFolder: string): string =>
  properties({
    "process.roles": "broker,controller",
    "node.id": nodeId,
    listeners: `BROKER://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    "advertised.listeners": `BROKER://127.0.0.1:${port}`,
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    "controller.quorum.voters": `${nodeId}@127.0.0.1:${controllerPort}`,
    "log.dirs": dataFolder,
    // A broker that was killed may not come back before its session is over: 9 s otherwise.
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    // A topic that nobody has made is a mistake, and not a topic with presets.
    "auto.create.topics.enable": false,
    "default.replication.factor": 1,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    // A group waits 3 s for more members otherwise.
    "group.initial.rebalance.delay.ms": 0,
    // Tests let members die: the least that a member may ask for is 6 s otherwise.
    "group.min.session.timeout.ms": 1000,
    // Memory and files of each partition, and of the cleaner, are for servers with many disks otherwise.
    "log.index.size.max.bytes": mib,
    "log.cleaner.dedupe.buffer.size": 8 * mib,
    "log.cleaner.io.buffer.size": mib / 8
  })

const logSettings = properties({
  "log4j.rootLogger": "WARN, out",
  "log4j.appender.out": "org.apache.log4j.ConsoleAppender",
  "log4j.appender.out.layout": "org.apache.log4j.PatternLayout",
  "log4j.appender.out.layout.ConversionPattern": "[%d] %p %m (%c)%n"
})

/** Kafka's own short form of 128 bits. */
const makeClusterId = (): string => randomBytes(16).toString("base64url")

/** Kafka writes this file last when it formats a folder. */
const isFormatted = (dataFolder: string): boolean => existsSync(join(dataFolder, "meta.properties"))

/** Writes the settings, with a free port for the controller, and formats the data folder when it is new. */
export const prepareStorage =
  ({ classPath, program }: KafkaProgram, folder: string) =>
  (port: number, dataFolder: string): Effect.Effect<void, Error> =>
    Effect.gen(function* () {
      const controllerPort = yield* freePort
      writeFileSync(settingsFile(folder), settingsOf(port, controllerPort, dataFolder))
      writeFileSync(logSettingsFile(folder), logSettings)
      if (isFormatted(dataFolder)) return
      yield* runKafkaTool(program.path, classPath, "kafka.tools.StorageTool", [
        "format",
        `--cluster-id=${makeClusterId()}`,
        `--config=${settingsFile(folder)}`
      ])
    })
