import { expect, it } from "@effect/vitest"
import { MongoDatabase, MongoOutbox, Transaction } from "@twinbox/mongodb"
import { OutboxStore, Relay } from "@twinbox/outbox"
import { MessageFixture, RecordingSink } from "@twinbox/testkit"
import { Context, Effect, Layer, Redacted, Schedule } from "effect"
import type { CommandStartedEvent } from "mongodb"
import { testMongo } from "../setup/testServers.ts"

const isHeartbeat = ({ command }: CommandStartedEvent) =>
  command["update"] === "outbox_relays" || command["aggregate"] === "outbox_relays"

/** A relay with three sinks that has caught up, and what its own connection sends from then on. */
const liveRelay = Effect.gen(function* () {
  const { database, uri } = yield* testMongo
  const connect = (appName: string) =>
    Layer.build(
      Layer.orDie(
        MongoOutbox.layer({
          uri: Redacted.make(`${uri}${uri.includes("?") ? "&" : "?"}monitorCommands=true`),
          database,
          appName
        })
      )
    )
  const [ofRelay, ofWriter] = [yield* connect("relay"), yield* connect("writer")]
  const sinks = ["one", "two", "three"].map((name) =>
    RecordingSink.make({ name, topics: [MessageFixture.topic] })
  )
  const relay = yield* Effect.provide(Relay.make({ sinks: sinks.map(({ sink }) => sink) }), ofRelay)
  yield* Effect.forkScoped(relay.run)
  const until = (holds: (status: Relay.Status) => boolean) =>
    Effect.repeat(relay.status, { until: holds, schedule: Schedule.spaced("5 millis") })
  yield* until(({ mode, sinks: lanes }) => mode === "live" && lanes.every(({ state }) => state === "flowing"))
  const { client } = Context.get(ofRelay, MongoDatabase.MongoDatabase)
  const sent: Array<CommandStartedEvent> = []
  client.on("commandStarted", (event) => void sent.push(event))
  const writer = Context.get(ofWriter, OutboxStore.OutboxStore)
  const save = (count: number, first: number) =>
    Transaction.run(writer.append(MessageFixture.ofKey("customer/1", count, first))).pipe(
      Effect.provide(ofWriter)
    )
  return { sinks, sent, until, save }
})

it.scopedLive("a batch costs a relay one read and one write, however many sinks there are", () =>
  Effect.gen(function* () {
    const { save, sent, sinks, until } = yield* liveRelay
    const batches = 5
    for (let batch = 0; batch < batches; batch++) {
      yield* save(100, 1 + batch * 100)
      yield* until(
        ({ inFlight }) =>
          inFlight === 0 && sinks.every((sink) => sink.received().length === 100 * (batch + 1))
      )
    }
    const commands = sent.filter((event) => !isHeartbeat(event)).map(({ commandName }) => commandName)
    const count = (name: string) => commands.filter((command) => command === name).length
    expect(new Set(commands)).toEqual(new Set(["getMore", "delete"]))
    // A reply can bring a part of a batch; the last question is still open.
    expect(count("delete")).toBeLessThanOrEqual(count("getMore"))
    expect(count("getMore")).toBeLessThanOrEqual(2 * batches + 1)
  })
)

it.scopedLive("a relay with nothing to do sends at most two commands a second", () =>
  Effect.gen(function* () {
    const { sent } = yield* liveRelay
    const seconds = 8
    const from = sent.length
    yield* Effect.sleep(`${seconds} seconds`)
    expect(sent.length - from).toBeGreaterThan(0)
    expect(sent.length - from).toBeLessThanOrEqual(2 * seconds)
  })
)
