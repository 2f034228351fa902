import { HttpServer } from "@effect/platform"
import { MongoDatabase, MongoOutbox } from "@twinbox/mongodb"
import { type Context, Deferred, Effect, Exit, Layer, Option, Redacted, Scope } from "effect"
import { openSession } from "../../../test/setup/sessionClient.ts"
import { testMongo } from "../../../test/setup/testServers.ts"
import * as ApiTokens from "../src/ApiTokens.ts"
import * as Customers from "../src/Customers.ts"
import * as IngestRole from "../src/IngestRole.ts"
import * as OpenAccess from "../src/OpenAccess.ts"
import * as OperationsServer from "../src/OperationsServer.ts"
import * as Readiness from "../src/Readiness.ts"
import * as RoleFailures from "../src/RoleFailures.ts"
import { type IngestSettings, Settings } from "../src/Settings.ts"
import * as StatusBoard from "../src/StatusBoard.ts"
import { StopSignal } from "../src/StopSignal.ts"
import { collecting, pseudonymKey } from "./appLayers.ts"

export interface Options {
  /** API_TOKENS. Default: none. */
  readonly tokens?: string
  readonly ingest?: Partial<IngestSettings>
}

const generous: IngestSettings = {
  connections: 500,
  connectionsPerAddress: 500,
  rate: 10_000,
  ratePerAddress: 10_000,
  pingMillis: 30_000
}

const settings = ({ ingest, tokens }: Options) =>
  Layer.succeed(Settings, {
    http: { host: "127.0.0.1", port: 0 },
    twoWay: true,
    apiTokens: Option.fromNullable(tokens === undefined ? undefined : ApiTokens.parse(tokens)),
    ingest: { ...generous, ...ingest }
  } as Context.Tag.Service<Settings>)

/** The role `ingest` on a MongoDB of its own, until the scope ends or it is stopped. */
export const startIngest = (options: Options = {}) =>
  Effect.gen(function* () {
    const mongo = yield* testMongo
    const logs: Array<string> = []
    const logging = collecting(logs)
    const signal = yield* Deferred.make<void>()
    const mongoLayer = MongoOutbox.layer({
      uri: Redacted.make(mongo.uri),
      database: mongo.database,
      appName: mongo.database
    })
    const stopSignal = Layer.succeed(StopSignal, {
      received: Deferred.await(signal),
      receivedEarly: Effect.never,
      takeOver: Effect.void
    })
    const services = Layer.provideMerge(
      Layer.provide(Customers.layer, pseudonymKey),
      Layer.mergeAll(mongoLayer, Readiness.layer, RoleFailures.layer, StatusBoard.layer, stopSignal)
    ).pipe(Layer.provideMerge(settings(options)), Layer.provide(logging))
    const shared = yield* Layer.build(services)
    // Ends before them: a client that is closed in the middle of a transaction leaves its locks behind for a minute.
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
    const memo = yield* Layer.makeMemoMap
    const role = Layer.merge(IngestRole.layer, OperationsServer.layer).pipe(
      Layer.provideMerge(OpenAccess.listener),
      Layer.provide(Layer.succeedContext(shared)),
      Layer.provide(logging)
    )
    const context = yield* Layer.buildWithMemoMap(role, memo, scope)
    const { address } = yield* Effect.provide(HttpServer.HttpServer, context)
    const port = address._tag === "TcpAddress" ? address.port : 0
    const database = yield* Effect.provide(MongoDatabase.MongoDatabase, shared)
    const { db } = database
    return {
      port,
      http: `http://127.0.0.1:${port}`,
      base: `ws://127.0.0.1:${port}`,
      open: (sessionId: string, protocols?: ReadonlyArray<string>) =>
        Effect.promise(() => openSession(`ws://127.0.0.1:${port}`, sessionId, protocols)),
      database,
      db,
      logs,
      customers: yield* Effect.provide(Customers.Customers, shared),
      /** Messages of a session in the outbox, in their order. */
      events: (sessionId: string) =>
        Effect.promise(async () => {
          const found = await db
            .collection("outbox")
            .find({ key: `session/${sessionId}`, payload: { $type: "string" } })
            .sort({ sequence: 1 })
            .toArray()
          return found.map((message) => ({
            sequence: Number(message["sequence"]),
            headers: message["headers"] as Readonly<Record<string, string>>,
            payload: JSON.parse(String(message["payload"])) as Readonly<Record<string, unknown>>
          }))
        }),
      /** The signal, and nothing more. */
      signal: Deferred.succeed(signal, undefined),
      /** Ends the role, as the app does after the signal. */
      stop: Effect.zipRight(Deferred.succeed(signal, undefined), Scope.close(scope, Exit.void))
    }
  })
