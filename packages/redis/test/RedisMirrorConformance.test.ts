import { Key } from "@twinbox/outbox"
import { SinkConformance } from "@twinbox/testkit"
import { Effect } from "effect"
import { testRedis } from "../../../test/setup/testServers.ts"
import { ask, customers, mirrorAt } from "./testParts.ts"

const dataKey = (key: Key.Key) => `${Key.streamOf(key)}:${Key.idOf(key)}`

SinkConformance.suite(
  "a Redis mirror",
  Effect.gen(function* () {
    const { url } = yield* testRedis
    const { mirror } = yield* mirrorAt(url)
    return {
      sink: mirror,
      topic: customers,
      read: (key) =>
        Effect.map(ask(url, "HMGET", dataKey(key), "version", "json"), (reply) => {
          const [version, json] = Array.isArray(reply) ? reply : []
          return typeof json === "string" ? { sequence: Number(version), payload: json } : undefined
        }),
      breakKey: (key) => ask(url, "SET", dataKey(key), "something else")
    }
  })
)
