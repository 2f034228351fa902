import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync
} from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { Admin } from "@platformatic/kafka"
import { DownloadFailed, KafkaServer } from "@twinbox/services"
import { Effect, Exit, Option, Scope } from "effect"
import { describe, expect } from "vitest"
import { describeKafka } from "../../../test/setup/testKafka.ts"
import { probeKafka } from "../src/KafkaProbe.ts"
import { javaSearchPath } from "../src/KafkaProgram.ts"
import { kafkaJars, mavenDownload } from "../src/MavenDownload.ts"
import { killChild, startChild } from "./startChild.ts"
import { isRunning, kafkaOptions, recorder, silent, temporaryFolder } from "./testOptions.ts"

const portOf = (brokers: string) => Number(brokers.split(":")[1])

/** Uses another client than what is tested. */
const withAdmin = <A>(brokers: string, use: (admin: Admin) => Promise<A>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Admin({ clientId: "test", bootstrapBrokers: [brokers] })),
    (admin) => Effect.promise(() => use(admin)),
    (admin) => Effect.promise(() => admin.close())
  )

/** The addresses of a process's listening sockets, by Linux's own tables (proc_pid_fd(5), proc_net(5)). */
const listeningAddresses = (pid: number): ReadonlyArray<string> => {
  const sockets = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${name}`)
      } catch {
        return []
      }
    })
  )
  return ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === "0A" && sockets.has(`socket:[${fields[9]}]`))
      // The last four bytes, in reverse: those of an IPv4 address, also within an IPv6 one.
      .map((fields) => {
        const address = fields[1]?.split(":")[0]?.slice(-8) ?? ""
        return [6, 4, 2, 0].map((at) => Number.parseInt(address.slice(at, at + 2), 16)).join(".")
      })
  )
}

const writeProgram = (path: string, says: string): void => {
  writeFileSync(path, `#!/bin/sh\n${says}\n`)
  chmodSync(path, 0o755)
}

/** A server that answers everything with the same bytes. */
const answering = (answer: string) =>
  Effect.acquireRelease(
    Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
      const server = createServer((socket) => {
        socket.on("error", () => undefined)
        socket.on("data", () => socket.write(answer))
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ port, close: () => server.close() }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

describeKafka("a Kafka of our own", () => {
  it.scopedLive(
    "outlives the process that started it, keeps its port and its topics, and is gone when nobody uses it",
    () =>
      Effect.gen(function* () {
        const dataFolder = yield* temporaryFolder
        const left = yield* startChild("kafka", dataFolder)
        yield* withAdmin(left.uri, (admin) => admin.createTopics({ topics: ["kept"], partitions: 3 }))
        yield* killChild(left)
        const { lines, report } = recorder()
        const start = KafkaServer.start({ ...(yield* kafkaOptions), dataFolder, report })
        const scope = yield* Scope.make()
        const kafka = yield* Scope.extend(start, scope)
        expect(lines).toContain("Kafka: using the server that already runs on this data")
        expect(lines.at(-1)).toBe(`Kafka: ready at ${kafka.brokers}`)
        expect([kafka.version, kafka.origin, yield* kafka.pid]).toEqual([
          "3.9.1",
          "download",
          Option.some(left.pid)
        ])
        const given = KafkaServer.start({ ...(yield* kafkaOptions), uri: Option.some(kafka.brokers) })
        const refused = yield* Effect.flatMap(given, ({ stop }) => Effect.flip(stop))
        expect(refused.reason).toBe("NotOwned")
        yield* kafka.kill("SIGKILL")
        expect(yield* Effect.isFailure(probeKafka("127.0.0.1", portOf(kafka.brokers), "1 second"))).toBe(true)
        yield* kafka.start
        const pid = Option.getOrThrow(yield* kafka.pid)
        yield* Scope.close(scope, Exit.void)
        expect(isRunning(pid)).toBe(false)
        const again = yield* start
        expect(again.brokers).toBe(left.uri)
        expect(yield* withAdmin(again.brokers, (admin) => admin.listTopics())).toContain("kept")
      })
  )

  it.live("listens on 127.0.0.1 only, and leaves neither process nor folder when it was temporary", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const kafka = yield* Scope.extend(KafkaServer.start(yield* kafkaOptions), scope)
      const pid = Option.getOrThrow(yield* kafka.pid)
      expect(listeningAddresses(pid)).toEqual(["127.0.0.1", "127.0.0.1"])
      const commandLine = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")
      const settings = commandLine.find((argument) => argument.endsWith("server.properties")) ?? ""
      expect(existsSync(settings)).toBe(true)
      yield* Scope.close(scope, Exit.void)
      expect(isRunning(pid)).toBe(false)
      expect(existsSync(join(settings, "..", ".."))).toBe(false)
    })
  )

  it.scopedLive("says its last words when it does not start", () =>
    Effect.gen(function* () {
      const settings = { "log.retention.ms": "a while" }
      const error = yield* Effect.flip(KafkaServer.start({ ...(yield* kafkaOptions), settings }))
      expect(error.reason).toBe("DidNotStart")
      expect(error.message).toContain("Invalid value a while for configuration log.retention.ms")
    })
  )
})

describe("a Kafka of the environment", () => {
  it.scopedLive("is waited for, with a line, then gives a typed error", () =>
    Effect.gen(function* () {
      const { lines, report } = recorder()
      const uri = Option.some("127.0.0.1:1,127.0.0.1:2")
      const error = yield* Effect.flip(
        KafkaServer.start({ ...(yield* kafkaOptions), uri, report, uriTimeout: "1 second" })
      )
      expect([error.reason, error.retryable]).toEqual(["Unreachable", true])
      expect(lines).toEqual(["Kafka: waiting for Kafka at 127.0.0.1:1,127.0.0.1:2 ..."])
    })
  )

  it.scopedLive("is told from a server of another kind", () =>
    Effect.gen(function* () {
      const { port } = yield* answering("HTTP/1.1 400 Bad Request\r\n\r\n")
      const uri = Option.some(`127.0.0.1:${port}`)
      const error = yield* Effect.flip(
        KafkaServer.start({ ...(yield* kafkaOptions), uri, uriTimeout: "100 millis" })
      )
      expect([error.reason, error.message]).toEqual([
        "Unreachable",
        expect.stringContaining("it speaks another protocol")
      ])
    })
  )

  it.scopedLive("gives a typed error that repeats nothing when it is no list of brokers", () =>
    Effect.gen(function* () {
      for (const text of [
        "s3cret@host:9092",
        "kafka://user:s3cret@host:9092",
        "s3cret",
        "host:123456",
        "a:1,"
      ]) {
        const options = { ...(yield* kafkaOptions), uri: Option.some(text), report: silent }
        const error = yield* Effect.flip(KafkaServer.start(options))
        expect(error.reason).toBe("InvalidUri")
        expect(error.message).not.toContain("s3cret")
      }
    })
  )
})

describe("when there is no Kafka to be had", () => {
  it.scopedLive("one sentence says that Java or Maven is missing", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const nothing = { searchPath: folder, cacheFolder: folder, javaHome: Option.none() }
      const options = { ...(yield* kafkaOptions), ...nothing }
      const noJava = yield* Effect.flip(KafkaServer.start(options))
      expect([noJava.reason, noJava.message]).toEqual([
        "NotFound",
        "There is no java on this machine and no download fits it: install Java 17 or newer so that it is on the PATH or JAVA_HOME names it, or set KAFKA_BROKERS to a Kafka you have."
      ])
      writeProgram(join(folder, "java"), 'echo "openjdk 17.0.1 2021-10-19"')
      const noMaven = yield* Effect.flip(KafkaServer.find(options))
      expect([noMaven.reason, noMaven.message]).toEqual([
        "NotFound",
        "There is no Kafka on this machine and no download fits it: install Maven (mvn) so that it is on the PATH and can fetch Kafka, or set KAFKA_BROKERS to a Kafka you have."
      ])
    })
  )

  it.scopedLive("a Java that is too old is passed over, and JAVA_HOME goes before the PATH", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [home, path] = [join(folder, "home"), join(folder, "path")]
      mkdirSync(join(home, "bin"), { recursive: true })
      mkdirSync(path)
      writeProgram(join(home, "bin", "java"), "echo 'openjdk 11.0.2 2019-01-15'")
      writeProgram(join(path, "java"), "echo 'java 21 2023-09-19 LTS'")
      const { lines, report } = recorder()
      const search = { searchPath: path, cacheFolder: folder, javaHome: Option.some(home), report }
      yield* Effect.flip(KafkaServer.find({ ...(yield* kafkaOptions), ...search }))
      expect(lines[0]).toContain("11.0.2, older than 17.0")
      expect(lines[1]).toBe(`Kafka: using java 21 from ${join(path, "java")}`)
      expect(javaSearchPath(Option.some("/jdk"), "/usr/bin")).toBe("/jdk/bin:/usr/bin")
    })
  )
})

describe("jars from Maven", () => {
  const fetch = (says: string) =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeProgram(join(folder, "mvn"), says)
      const target = join(folder, "program")
      mkdirSync(target)
      const download = mavenDownload(kafkaJars, folder)
      expect(download.fitsMachine).toBe(true)
      return { error: yield* Effect.flip(download.fetch(folder, target)), left: readdirSync(target) }
    })

  it.scopedLive("that are not the expected ones are refused", () =>
    Effect.gen(function* () {
      const { error } = yield* fetch(
        'for a; do case $a in -DoutputDirectory=*) echo x > "${a#*=}/a.jar";; esac; done'
      )
      expect(error).toEqual(
        new DownloadFailed({
          message: "the jars of Kafka 3.9.1 (56 MB) are not the files that were expected"
        })
      )
    })
  )

  it.scopedLive("that cannot be had give Maven's own reason", () =>
    Effect.gen(function* () {
      const { error } = yield* fetch(
        "echo '[ERROR] Could not find it -> [Help 1]'; echo '[ERROR] more'; exit 1"
      )
      expect(error.message).toBe("mvn says: Could not find it")
    })
  )
})
