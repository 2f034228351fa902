import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { MongoClient } from "mongodb"
import { inject } from "vitest"
import { describeKafka } from "../../../test/setup/testKafka.ts"
import type { Settings } from "./consumerProcess.ts"
import * as KafkaConsumerMetrics from "../src/KafkaConsumerMetrics.ts"
import { counted, eventually, inOrder, rounds, world } from "./testConsumer.ts"
import { withAdmin } from "./testParts.ts"

const program = new URL("consumerProcess.ts", import.meta.url).pathname

/** A consumer as a process; killed at the end of the scope, if it still runs. */
const consumerProcess = (settings: typeof Settings.Type) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, ["--conditions=twinbox-source", program], {
        env: { ...process.env, CONSUMER: JSON.stringify(settings), NODE_OPTIONS: "" },
        stdio: ["ignore", "pipe", "pipe"]
      })
      let output = ""
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (chunk: Buffer) => (output = (output + chunk.toString()).slice(-20_000)))
      }
      return { child, output: () => output, exit: once(child, "exit") }
    }),
    ({ child, exit }) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return exit
      })
  )

const kill = (child: ChildProcess, signal: NodeJS.Signals) => Effect.sync(() => void child.kill(signal))

/** MongoDB keeps an open transaction of a client that is gone for a minute, and others off what it has written. */
const endTransactionsOf = (client: MongoClient, appName: string) =>
  Effect.promise(async () => {
    const admin = client.db("admin")
    const idle = await admin
      .aggregate([
        { $currentOp: { allUsers: true, idleSessions: true } },
        { $match: { appName, transaction: { $exists: true } } }
      ])
      .toArray()
    await admin.command({ killSessions: idle.map(({ lsid }) => ({ id: lsid.id })) })
  })

const duplicates = (group: string, topic: string) => counted(KafkaConsumerMetrics.duplicate, group, topic)

/** What the group has committed, all partitions together. */
const committedOf = (brokers: string, groupId: string, topic: string) =>
  Effect.map(
    withAdmin(brokers, (admin) => admin.listConsumerGroupOffsets({ groups: [groupId] })),
    ([group]) =>
      (group?.topics ?? [])
        .filter(({ name }) => name === topic)
        .flatMap(({ partitions }) => partitions.map(({ committedOffset }) => committedOffset))
        .reduce((sum, offset) => sum + offset, 0n)
  )

describeKafka("consumers of one group", () => {
  it.scopedLive("share the partitions; each message is applied once, in order, while they come and go", () =>
    Effect.gen(function* () {
      const { appliedAll, group, make, message, publish, start, state, topic, brokers } = yield* world(6)
      yield* publish(rounds(24, 20, message))
      const first = yield* start()
      yield* appliedAll(50)
      const second = yield* make()
      const running = yield* Effect.fork(second.run)
      const shares = Effect.map(Effect.all([first.status, second.status]), (all) =>
        all.map(({ partitions }) => partitions.map(({ partition }) => partition))
      )
      yield* eventually(Effect.map(shares, ([a, b]) => a?.length === 3 && b?.length === 3))
      expect((yield* shares).flat().toSorted()).toEqual([0, 1, 2, 3, 4, 5])
      yield* publish(rounds(24, 20, (id, sequence) => message(id, 20 + sequence)))
      yield* appliedAll(600)
      yield* Fiber.interrupt(running)
      yield* eventually(Effect.map(first.status, ({ partitions }) => partitions.length === 6))
      yield* publish(rounds(24, 5, (id, sequence) => message(id, 40 + sequence)))
      yield* appliedAll(24 * 45)
      expect(yield* state).toEqual(inOrder(24, 45))
      yield* eventually(
        Effect.map(committedOf(brokers, group, topic.name), (offset) => offset === BigInt(24 * 45))
      )
    })
  )

  it.scopedLive("lay a partition down before another takes it up, with all that is finished committed", () =>
    Effect.gen(function* () {
      const { append, appliedAll, group, message, publish, start, state, topic } = yield* world(2)
      yield* publish(rounds(8, 30, message))
      // Slow enough that each has something under way when its partition moves.
      const slowly = {
        handler: (received: Parameters<typeof append>[0]) => Effect.delay(append(received), 5)
      }
      yield* start({ ...slowly, commitEvery: "1 hour" })
      yield* appliedAll(20)
      yield* start({ ...slowly, commitEvery: "1 hour" })
      yield* appliedAll(240)
      expect(yield* state).toEqual(inOrder(8, 30))
      expect(yield* duplicates(group, topic.name)).toBe(0)
    })
  )
})

describeKafka("a consumer process", () => {
  const setUp = (partitions: number) =>
    Effect.map(world(partitions), (parts) => ({
      ...parts,
      settings: {
        brokers: parts.brokers,
        mongoUri: inject("mongoUri"),
        database: parts.database.db.databaseName,
        topic: parts.topic.name,
        group: parts.group,
        commitEvery: 3_600_000,
        recordsPerTransaction: 1,
        pauseMillis: 0
      }
    }))

  it.scopedLive("killed after effects and before their offsets repeats no effect, and loses none", () =>
    Effect.gen(function* () {
      const { appliedAll, brokers, database, group, message, publish, settings, start, state, topic } =
        yield* setUp(3)
      yield* publish(rounds(12, 20, message))
      const victim = yield* consumerProcess(settings)
      yield* appliedAll(60)
      yield* kill(victim.child, "SIGKILL")
      yield* Effect.promise(() => victim.exit)
      yield* endTransactionsOf(database.client, group)
      expect(yield* committedOf(brokers, group, topic.name)).toBe(0n)
      yield* start()
      yield* appliedAll(240)
      yield* eventually(Effect.map(committedOf(brokers, group, topic.name), (offset) => offset === 240n))
      expect(yield* state).toEqual(inOrder(12, 20))
      expect(yield* duplicates(group, topic.name)).toBeGreaterThanOrEqual(60)
    })
  )

  it.scopedLive(
    "that was frozen while others took over disturbs nothing when it wakes",
    () =>
      Effect.gen(function* () {
        const { appliedAll, brokers, database, group, message, publish, settings, start, state, topic } =
          yield* setUp(2)
        yield* publish(rounds(6, 40, message))
        const sleeper = yield* consumerProcess({ ...settings, commitEvery: 100, pauseMillis: 20 })
        yield* appliedAll(20)
        yield* kill(sleeper.child, "SIGSTOP")
        yield* endTransactionsOf(database.client, group)
        yield* start()
        yield* appliedAll(240)
        const done = Effect.map(committedOf(brokers, group, topic.name), (offset) => offset === 240n)
        yield* eventually(done)
        yield* kill(sleeper.child, "SIGCONT")
        // It learns that it was excluded, drops what it holds, and comes back as a new member, which gets its share.
        yield* eventually(
          Effect.map(done, (is) => {
            expect(is).toBe(true)
            return sleeper.output().includes("member=true partitions=1")
          })
        )
        expect(yield* state).toEqual(inOrder(6, 40))
        yield* publish(rounds(6, 5, (id, sequence) => message(id, 40 + sequence)))
        yield* appliedAll(270)
        expect(yield* state).toEqual(inOrder(6, 45))
      }),
    120_000
  )
})
