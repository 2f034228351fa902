import { fileURLToPath } from "node:url"
import { AnonymizeKey } from "@twinbox/anonymize"
import { MongoDatabase, MongoOutbox } from "@twinbox/mongodb"
import { MirrorBuild, RedisConnection, RedisMirror } from "@twinbox/redis"
import { type SyncError, TwinSync } from "@twinbox/repository"
import { RedisServer, type RedisServerHandle, type Report } from "@twinbox/services"
import { Context, Effect, Layer, Option, Redacted } from "effect"
import type { Db } from "mongodb"
import { Customer, customerCollection, customerTopic } from "../../examples/reference-app/src/Customer.ts"
import { type ProxiedReplicaSet, proxiedReplicaSet } from "../setup/proxiedReplicaSet.ts"
import * as TcpProxy from "../setup/TcpProxy.ts"
import * as Audit from "./Audit.ts"
import * as ChaosProcess from "./ChaosProcess.ts"

type Redis = Context.Tag.Service<RedisConnection.RedisConnection>

export interface Options {
  readonly relays: number
  readonly writers: number
  readonly leaseMillis: number
  /** Pause of each of a writer's fibers between two writes. */
  readonly writePauseMillis: number
}

/** Servers that can be taken away from a process. */
export type ServerName = "mongo" | "mirror" | "log"

/** The way of one process to one or several servers. */
export interface Way {
  readonly process: string
  readonly servers: ReadonlyArray<ServerName>
  readonly set: (traffic: TcpProxy.Traffic) => Effect.Effect<void>
}

/** Relays and writers in processes of their own, the servers they use, and what can be known of all that from outside. */
export interface ChaosWorld {
  readonly mongo: ProxiedReplicaSet
  readonly db: Db
  readonly mirrorServer: RedisServerHandle
  readonly mirrorRedis: Redis
  readonly mirror: RedisMirror.RedisMirror<"anonymized">
  /** Gives the mirror all of its data again. */
  readonly rebuildMirror: Effect.Effect<unknown, SyncError>
  readonly logRedis: Redis
  readonly relays: ReadonlyArray<ChaosProcess.ChaosProcess>
  readonly writers: ReadonlyArray<ChaosProcess.ChaosProcess>
  readonly ways: ReadonlyArray<Way>
  readonly audit: Audit.Audit
}

/** What a relay calls itself in the `start`-th life of its process: in each by another name. */
export const relayNameOf = (process: string, start: number): string => `${process}.${start}`

/** What the twins are made with. */
export const secret = "c7e1a04b95d23f8660bb17d9e4a2385f"

const silent: Report = () => Effect.void

const programOf = (file: string): string => fileURLToPath(new URL(`processes/${file}`, import.meta.url))

const startRedis = (durability: ReadonlyArray<string>) =>
  Effect.flatMap(RedisServer.config({ report: silent, arguments: durability }), (config) =>
    RedisServer.start({ ...config, uri: Option.none() })
  )

const startServers = Effect.all(
  {
    mongo: proxiedReplicaSet,
    // What it has confirmed is on the disk: after a kill it must have all of it.
    mirror: startRedis(["--appendfsync", "always"]),
    // Nothing happens to it.
    log: startRedis(["--appendonly", "no"])
  },
  { concurrency: 3 }
)

const portOf = (url: string): number => Number(new URL(url).port)

/** A proxy between one process and a Redis. */
const redisProxy = (url: string, process: string) =>
  TcpProxy.make({ target: portOf(url), clientOf: () => process })

const urlOf = ({ port }: TcpProxy.TcpProxy): string => `redis://127.0.0.1:${port}`

/** Every combination of servers that a relay may lose. */
const losses: ReadonlyArray<ReadonlyArray<ServerName>> = [
  ["mongo"],
  ["mirror"],
  ["log"],
  ["mongo", "mirror", "log"]
]

const startRelay = (name: string, options: Options, servers: Effect.Effect.Success<typeof startServers>) =>
  Effect.gen(function* () {
    const mirror = yield* redisProxy(servers.mirror.uri, name)
    const log = yield* redisProxy(servers.log.uri, name)
    const proxies = { mongo: servers.mongo, mirror, log }
    const ways = losses.map((lost): Way => ({
      process: name,
      servers: lost,
      set: (traffic) =>
        Effect.forEach(lost, (server) => proxies[server].set(name, traffic), { discard: true })
    }))
    const process = yield* ChaosProcess.make({
      name,
      program: programOf("RelayMain.ts"),
      env: (start) => ({
        NAME: name,
        OWNER: relayNameOf(name, start),
        MONGODB_URI: servers.mongo.uri,
        MIRROR_URL: urlOf(mirror),
        LOG_URL: urlOf(log),
        LEASE_MILLIS: String(options.leaseMillis)
      })
    })
    return { process, ways }
  })

const startWriter = (name: string, groupCommit: boolean, options: Options, mongo: ProxiedReplicaSet) =>
  Effect.gen(function* () {
    const process = yield* ChaosProcess.make({
      name,
      program: programOf("WriterMain.ts"),
      env: () => ({
        NAME: name,
        MONGODB_URI: mongo.uri,
        ANONYMIZE_SECRET: secret,
        GROUP_COMMIT: String(groupCommit),
        PAUSE_MILLIS: String(options.writePauseMillis)
      })
    })
    const way: Way = { process: name, servers: ["mongo"], set: (traffic) => mongo.set(name, traffic) }
    return { process, ways: [way] }
  })

const numbered = (count: number, name: string): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, at) => `${name}-${at + 1}`)

/** Starts everything; it ends with the scope. */
export const start = (options: Options) =>
  Effect.gen(function* () {
    const servers = yield* startServers
    const outbox = yield* Layer.build(
      MongoOutbox.layer({ uri: Redacted.make(servers.mongo.uri), appName: "chaos" })
    )
    const { db } = Context.get(outbox, MongoDatabase.MongoDatabase)
    const audit = yield* Audit.make(db)
    const mirrorRedis = yield* RedisConnection.make({ url: Redacted.make(servers.mirror.uri) })
    const logRedis = yield* RedisConnection.make({ url: Redacted.make(servers.log.uri) })
    const mirror = yield* RedisMirror.make({ topics: [customerTopic], isNew: true }).pipe(
      Effect.provideService(RedisConnection.RedisConnection, mirrorRedis)
    )
    const sync = yield* TwinSync.make({
      schema: Customer,
      collection: customerCollection,
      topic: customerTopic,
      key: yield* AnonymizeKey.make({ version: 1, secret: Redacted.make(secret) })
    }).pipe(Effect.provide(outbox))
    const build = yield* MirrorBuild.make({ view: "anonymized" }).pipe(
      Effect.provideService(RedisConnection.RedisConnection, mirrorRedis)
    )
    const relays = yield* Effect.forEach(numbered(options.relays, "relay"), (name) =>
      startRelay(name, options, servers)
    )
    const writers = yield* Effect.forEach(numbered(options.writers, "writer"), (name, at) =>
      startWriter(name, at % 2 === 0, options, servers.mongo)
    )
    const world: ChaosWorld = {
      mongo: servers.mongo,
      db,
      mirrorServer: servers.mirror,
      mirrorRedis,
      mirror,
      rebuildMirror: sync.rebuildMirror(build),
      logRedis,
      relays: relays.map(({ process }) => process),
      writers: writers.map(({ process }) => process),
      ways: [...relays, ...writers].flatMap(({ ways }) => ways),
      audit
    }
    return world
  })
