import { it } from "@effect/vitest"
import { MongoServer, type ServiceError } from "@twinbox/services"
import { Effect, Option } from "effect"
import { MongoClient } from "mongodb"
import { describe, expect, inject } from "vitest"
import { makeServerProcess } from "../src/ServerProcess.ts"
import { flags } from "../src/Flags.ts"
import { findMongod } from "../src/MongodProgram.ts"
import { probeMongod } from "../src/ReplicaSet.ts"
import { killChild, startChild } from "./startChild.ts"
import { gone, isRunning, mongoOptions, recorder, silent, temporaryFolder } from "./testOptions.ts"

const withClient = <A>(uri: string, use: (client: MongoClient) => Promise<A>): Effect.Effect<A> =>
  Effect.promise(async () => {
    const client = new MongoClient(uri, { serverSelectionTimeoutMS: 10_000 })
    try {
      return await use(client)
    } finally {
      await client.close()
    }
  })

const collection = (client: MongoClient) => client.db("services").collection<{ _id: number }>("things")

/** Written in a transaction, which only a replica set has. */
const insert = (uri: string, id: number) =>
  withClient(uri, (client) =>
    client.withSession((session) =>
      session.withTransaction(() => collection(client).insertOne({ _id: id }, { session }))
    )
  )

const count = (uri: string) => withClient(uri, (client) => collection(client).countDocuments())

/** A mongod that is no replica set, or one that nobody has initiated. */
const bareMongod = (extra: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const program = yield* findMongod(yield* mongoOptions)
    const process = makeServerProcess({
      service: "MongoDB",
      program,
      folder,
      port: Option.none(),
      arguments: (port, data) => [...flags({ port, bind_ip: "127.0.0.1", dbpath: data }), ...extra],
      probe: probeMongod,
      startTimeout: "20 seconds",
      stopTimeout: "1 second",
      report: silent
    })
    yield* Effect.acquireRelease(process.start, () => Effect.ignore(process.stop))
    return `127.0.0.1:${process.port()}`
  })

const errorOf = (uri: string, report = silent) =>
  Effect.gen(function* () {
    const options = { ...(yield* mongoOptions), uri: Option.some(uri), report }
    return yield* Effect.flip(MongoServer.start({ ...options, uriTimeout: 0 }))
  })

const tells = (error: ServiceError): string => String(error) + error.message + JSON.stringify(error)

describe("a MongoDB of our own", () => {
  it.scopedLive(
    "is a replica set with transactions, and has its data and its port again at the next start",
    () =>
      Effect.gen(function* () {
        const dataFolder = yield* temporaryFolder
        const start = MongoServer.start({ ...(yield* mongoOptions), dataFolder })
        const first = yield* Effect.scoped(Effect.tap(start, ({ uri }) => insert(uri, 1)))
        const again = yield* start
        expect(again.uri).toBe(first.uri)
        expect(yield* count(again.uri)).toBe(1)
        yield* again.stop
        yield* again.start
        expect(yield* count(again.uri)).toBe(1)
        yield* again.kill("SIGKILL")
        expect(yield* again.pids).toEqual([])
        yield* again.start
        expect(yield* count(again.uri)).toBe(1)
      })
  )

  it.scopedLive("has its data on another port when its last one is taken", () =>
    Effect.gen(function* () {
      const options = yield* mongoOptions
      const dataFolder = yield* temporaryFolder
      const start = MongoServer.start({ ...options, dataFolder })
      const first = yield* Effect.scoped(Effect.tap(start, ({ uri }) => insert(uri, 1)))
      const port = Number(/:(\d+)\//.exec(first.uri)?.[1])
      yield* MongoServer.start({ ...options, port })
      const again = yield* start
      expect(again.uri).not.toBe(first.uri)
      expect(yield* count(again.uri)).toBe(1)
    })
  )

  it.scopedLive("has three members on request, and a new primary when the first is killed", () =>
    Effect.gen(function* () {
      const mongo = yield* MongoServer.start({ ...(yield* mongoOptions), members: 3 })
      expect(yield* mongo.pids).toHaveLength(3)
      yield* insert(mongo.uri, 1)
      yield* mongo.members[0]?.kill("SIGKILL") ?? Effect.void
      yield* insert(mongo.uri, 2)
      expect(yield* count(mongo.uri)).toBe(2)
    })
  )

  it.scopedLive("left over from a killed process, is used again and stopped by its new user", () =>
    Effect.gen(function* () {
      const dataFolder = yield* temporaryFolder
      const left = yield* startChild("mongo", dataFolder)
      yield* killChild(left)
      expect(isRunning(left.pid)).toBe(true)
      const start = MongoServer.start({ ...(yield* mongoOptions), dataFolder })
      const pids = yield* Effect.scoped(Effect.flatMap(start, (mongo) => mongo.pids))
      expect(pids).toEqual([left.pid])
      expect(yield* gone(left.pid)).toBe(true)
    })
  )

  it.scopedLive("says why when it cannot start", () =>
    Effect.gen(function* () {
      const options = { ...(yield* mongoOptions), arguments: ["--noSuchArgument"] }
      const error = yield* Effect.flip(MongoServer.start(options))
      expect(error.reason).toBe("DidNotStart")
      expect(error.message).toContain("noSuchArgument")
    })
  )
})

describe("a MongoDB of the environment", () => {
  it.scopedLive("is used and never stopped", () =>
    Effect.gen(function* () {
      const uri = inject("mongoUri")
      const options = { ...(yield* mongoOptions), uri: Option.some(uri) }
      const given = yield* Effect.scoped(MongoServer.start(options))
      expect([given.origin, given.uri]).toEqual(["environment", uri])
      expect((yield* Effect.flip(given.kill("SIGKILL"))).reason).toBe("NotOwned")
      expect(yield* withClient(uri, (client) => client.db().command({ ping: 1 }))).toMatchObject({ ok: 1 })
    })
  )

  it.scopedLive("is waited for, with a line, then gives a typed error without credentials", () =>
    Effect.gen(function* () {
      const { lines, report } = recorder()
      const error = yield* errorOf("mongodb://someone:s3cret@127.0.0.1:1/?replicaSet=rs0", report)
      expect(error.reason).toBe("Unreachable")
      expect(lines[0]).toBe("MongoDB: waiting for MongoDB at 127.0.0.1:1 ...")
      expect(lines.join() + tells(error)).not.toContain("s3cret")
    })
  )

  it.scopedLive("gives a typed error when it is not a replica set, whatever the URI calls it", () =>
    Effect.gen(function* () {
      const host = yield* bareMongod([])
      for (const uri of [`mongodb://${host}/`, `mongodb://${host}/?replicaSet=rs0`]) {
        const error = yield* errorOf(uri)
        expect(error.reason).toBe("NotReplicaSet")
        expect(error.message).toContain("mongod --replSet rs0")
      }
    })
  )

  it.scopedLive("gives a typed error when its replica set is not initiated", () =>
    Effect.gen(function* () {
      const host = yield* bareMongod(["--replSet", "rs0"])
      const error = yield* errorOf(`mongodb://${host}/`)
      expect(error.reason).toBe("NotReplicaSet")
      expect(error.message).toContain("rs.initiate()")
    })
  )

  it.scopedLive("gives a typed error without credentials when they are wrong", () =>
    Effect.gen(function* () {
      const uri = inject("mongoUri").replace("mongodb://", "mongodb://someone:s3cret@")
      const error = yield* errorOf(uri)
      expect(error.reason).toBe("AuthenticationFailed")
      expect(tells(error)).not.toContain("s3cret")
    })
  )

  it.scopedLive("gives a typed error when its URI is none", () =>
    Effect.gen(function* () {
      const error = yield* errorOf("mongo:someone:s3cret@nowhere")
      expect(error.reason).toBe("InvalidUri")
      expect(tells(error)).not.toContain("s3cret")
    })
  )
})
