import { expect, it } from "@effect/vitest"
import { RedisConnection } from "@twinbox/redis"
import { MessageFixture } from "@twinbox/testkit"
import { Effect, Redacted } from "effect"
import { customerTopic } from "../../examples/reference-app/src/Customer.ts"
import { testRedis } from "../setup/testServers.ts"
import * as DeliveryLog from "./DeliveryLog.ts"

const connect = Effect.flatMap(testRedis, ({ url }) => RedisConnection.make({ url: Redacted.make(url) }))

it.scopedLive("the log has every arrival in order, repeated ones too, and tells payloads apart", () =>
  Effect.gen(function* () {
    const redis = yield* connect
    const first = DeliveryLog.sink(redis, "relay-1", [customerTopic])
    const second = DeliveryLog.sink(redis, "relay-2", [customerTopic])
    const written = MessageFixture.make({ id: "a1", sequence: 1, payload: "{}" })
    const deleted = MessageFixture.make({ id: "a2", sequence: 2, payload: null })
    yield* first.deliver([written, deleted])
    yield* second.deliver([deleted])

    const log = yield* DeliveryLog.read(redis)
    expect(log.map(({ id, relay }) => [id, relay])).toEqual([
      ["a1", "relay-1"],
      ["a2", "relay-1"],
      ["a2", "relay-2"]
    ])
    expect(log[0]).toMatchObject({ key: written.key, sequence: 1, payload: DeliveryLog.digestOf("{}") })
    expect(log[1]).toMatchObject({ sequence: 2, payload: null })
    expect(DeliveryLog.digestOf("{}")).not.toBe(DeliveryLog.digestOf("{ }"))
  })
)

it.scopedLive("a log of many pages is read whole", () =>
  Effect.gen(function* () {
    const redis = yield* connect
    const log = DeliveryLog.sink(redis, "relay-1", [customerTopic])
    const batch = Array.from({ length: 4_500 }, (_, at) => MessageFixture.make({ sequence: at + 1 }))
    yield* log.deliver(batch)
    expect(yield* DeliveryLog.count(redis)).toBe(batch.length)
    const sequences = (yield* DeliveryLog.read(redis)).map(({ sequence }) => sequence)
    expect(sequences).toEqual(batch.map(({ sequence }) => sequence))
  })
)
