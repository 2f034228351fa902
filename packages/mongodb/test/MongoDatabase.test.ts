import { describe, expect, it } from "@effect/vitest"
import { MongoDatabase } from "@twinbox/mongodb"
import { ConfigProvider, Effect, Layer, Redacted } from "effect"
import { testMongo } from "../../../test/setup/testServers.ts"

const connect = (uri: string) =>
  Effect.scoped(MongoDatabase.make({ uri: Redacted.make(uri), connectWithin: "1 second" }))

describe("MongoDatabase", () => {
  it.scopedLive("connects to a replica set and uses the database it is told", () =>
    Effect.gen(function* () {
      const { database, uri } = yield* testMongo
      const { db } = yield* MongoDatabase.make({ uri: Redacted.make(uri), database })
      expect(db.databaseName).toBe(database)
    })
  )

  it.scopedLive("uses the database of the URI, or 'twinbox' when it names none", () =>
    Effect.gen(function* () {
      const { database, uri } = yield* testMongo
      const named = uri.replace(/\/(\?|$)/, `/${database}$1`)
      expect((yield* MongoDatabase.make({ uri: Redacted.make(named) })).db.databaseName).toBe(database)
      expect((yield* MongoDatabase.make({ uri: Redacted.make(uri) })).db.databaseName).toBe("twinbox")
    })
  )

  it.scopedLive("reads MONGODB_URI from the configuration", () =>
    Effect.gen(function* () {
      const { uri } = yield* testMongo
      const provider = ConfigProvider.fromMap(new Map([["MONGODB_URI", uri]]))
      const context = yield* Layer.build(
        Layer.provide(MongoDatabase.layerConfig, Layer.setConfigProvider(provider))
      )
      expect(context.pipe((built) => built.unsafeMap.size)).toBeGreaterThan(0)
    })
  )

  it.live("says that no server answers, and that trying later may help", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(connect("mongodb://ann:secret@127.0.0.1:1/?replicaSet=rs0"))
      expect(error).toMatchObject({ _tag: "Unavailable", retryable: true })
      expect(String(error) + JSON.stringify(error)).not.toContain("secret")
    })
  )

  it.live("says that credentials were refused, and shows none", () =>
    Effect.gen(function* () {
      const { uri } = yield* testMongo
      const error = yield* Effect.flip(connect(uri.replace("mongodb://", "mongodb://ann:secret@")))
      expect(error).toMatchObject({ _tag: "AuthenticationFailed", retryable: false })
      expect(error.message).toContain("MONGODB_URI")
      expect(String(error) + JSON.stringify(error)).not.toContain("secret")
    }).pipe(Effect.scoped)
  )

  it.live("refuses a malformed connection string without repeating it", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(connect("mongo:/ann:secret@nowhere"))
      expect(error._tag).toBe("Refused")
      expect(String(error) + JSON.stringify(error)).not.toContain("secret")
    })
  )
})
