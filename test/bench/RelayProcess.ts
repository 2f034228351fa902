import { readFile } from "node:fs/promises"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { MongoDatabase, MongoIndexes, MongoOutbox } from "@twinbox/mongodb"
import { Relay } from "@twinbox/outbox"
import { RedisConnection } from "@twinbox/redis"
import {
  Cause,
  type Context,
  Deferred,
  Effect,
  FiberHandle,
  Logger,
  LogLevel,
  Queue,
  Redacted,
  Scope
} from "effect"
import type { CommandStartedEvent, Document } from "mongodb"
import * as BenchSinks from "./BenchSinks.ts"
import {
  type KafkaSinkSettings,
  nowMillis,
  type RelaySettings,
  type Reply,
  type Report,
  type Request,
  type SinkSettings
} from "./RelayProtocol.ts"

/** One life of a relay in this process. */
interface Life {
  relay: Context.Tag.Service<Relay.Relay> | undefined
  readonly meters: ReadonlyMap<string, BenchSinks.SinkMeter>
  commands: number
  read: Document | undefined
}

const newLife = ({ sinks }: RelaySettings): Life => ({
  relay: undefined,
  meters: new Map(sinks.map(({ name }) => [name, new BenchSinks.SinkMeter()])),
  commands: 0,
  read: undefined
})

const isReadOfReady = ({ command, commandName }: CommandStartedEvent) =>
  commandName === "find" && command["hint"] === MongoIndexes.indexNames.ready

const monitor = (life: Life) =>
  Effect.map(MongoDatabase.MongoDatabase, ({ client }) => {
    client.on("commandStarted", (event) => {
      life.commands += 1
      if (life.read === undefined && isReadOfReady(event)) life.read = { ...event.command }
    })
  })

/**
 * The most memory that this process ever had, by Linux. What `resourceUsage` says begins with the memory of the process
 * that forked this one; elsewhere it has to do.
 */
const peakRssBytes = Effect.promise(async () => {
  const status = await readFile("/proc/self/status", "utf8").catch(() => "")
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
  return Number(kibibytes ?? process.resourceUsage().maxRSS) * 1_024
})

const report = (life: Life | undefined) =>
  Effect.gen(function* () {
    const { system, user } = process.cpuUsage()
    const relay = life?.relay === undefined ? undefined : yield* life.relay.status
    const result: Report = {
      atMillis: nowMillis(),
      relay,
      sinks: Object.fromEntries([...(life?.meters ?? [])].map(([name, meter]) => [name, meter.take()])),
      commands: life?.commands ?? 0,
      read: life?.read,
      cpuMillis: (user + system) / 1_000,
      rssBytes: process.memoryUsage.rss(),
      peakRssBytes: yield* peakRssBytes
    }
    return result
  })

const uriOf = ({ mongoUri, monitors }: RelaySettings) =>
  monitors === true ? `${mongoUri}${mongoUri.includes("?") ? "&" : "?"}monitorCommands=true` : mongoUri

/** Loaded when it is asked for: its memory would be measured in relays that have no use for it. */
const kafkaSink = ({ brokers, kafkaTopic }: KafkaSinkSettings) =>
  Effect.flatMap(
    Effect.promise(() => import("./KafkaBenchParts.ts")),
    ({ makeSink }) => makeSink(brokers, kafkaTopic)
  )

const main = Effect.gen(function* () {
  const running = yield* FiberHandle.make<void>()
  const scope = yield* Effect.scope
  // Connections outlive relays: a server that is gone by then is to be found gone, not waited for.
  const connections = new Map<string, BenchSinks.Redis>()
  let life: Life | undefined

  const connectionTo = (url: string) =>
    Effect.gen(function* () {
      const known = connections.get(url)
      if (known !== undefined) return known
      const made = yield* Scope.extend(RedisConnection.make({ url: Redacted.make(url) }), scope)
      connections.set(url, made)
      return made
    })

  const sinkOf = (sink: SinkSettings, owner: string) =>
    sink.kind === "kafka"
      ? kafkaSink(sink)
      : Effect.flatMap(connectionTo(sink.redisUrl), (redis) => BenchSinks.make(redis, sink, owner))

  const start = (settings: RelaySettings) =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void, unknown>()
      const next = newLife(settings)
      life = next
      const work = Effect.gen(function* () {
        if (settings.monitors === true) yield* monitor(next)
        const sinks = yield* Effect.forEach(settings.sinks, (sink) =>
          Effect.gen(function* () {
            const made = yield* sinkOf(sink, settings.owner)
            const meter = next.meters.get(sink.name) ?? new BenchSinks.SinkMeter()
            return BenchSinks.metered(made, meter, settings.samples === true)
          })
        )
        const relay = yield* Relay.make({ sinks, owner: settings.owner })
        next.relay = relay
        yield* Deferred.succeed(started, undefined)
        return yield* relay.run
      })
      const { database } = settings
      const outbox = MongoOutbox.layer({ uri: Redacted.make(uriOf(settings)), database })
      yield* FiberHandle.run(
        running,
        Effect.scoped(Effect.provide(work, outbox)).pipe(
          Effect.tapErrorCause((cause) =>
            Effect.zipRight(Effect.logError(cause), Deferred.failCause(started, cause))
          ),
          Effect.ignore
        )
      )
      yield* Deferred.await(started)
    })

  const act = (request: Request) => {
    switch (request._tag) {
      case "Start":
        return start(request.settings)
      case "Stop":
        return FiberHandle.clear(running)
      case "Report":
        return Effect.void
    }
  }

  const answer = (request: Request) =>
    act(request).pipe(
      Effect.zipRight(Effect.suspend(() => report(life))),
      Effect.map((done): Reply => ({ _tag: "Done", report: done })),
      Effect.catchAllCause((cause) => Effect.succeed<Reply>({ _tag: "Failed", reason: Cause.pretty(cause) })),
      Effect.flatMap((reply) => Effect.sync(() => void process.send?.(reply)))
    )

  const requests = yield* Queue.unbounded<Request>()
  process.on("message", (request) => void Queue.unsafeOffer(requests, request as Request))
  // Whoever started this process is gone, however that came.
  process.on("disconnect", () => process.exit(1))
  return yield* Effect.forever(Effect.flatMap(Queue.take(requests), answer))
}).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.Warning))

NodeRuntime.runMain(main)
