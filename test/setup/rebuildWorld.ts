import { AnonymizeKey } from "@twinbox/anonymize"
import { Relay } from "@twinbox/outbox"
import { MirrorView, RedisConnection, RedisMirror } from "@twinbox/redis"
import { TwinRepository } from "@twinbox/repository"
import { Effect } from "effect"
import { drainInto, untilDrained } from "./drained.ts"
import { indexes, originalTopic, syncAndBuilds, topic } from "./rebuildParts.ts"
import { testMongo, testRedis } from "./testServers.ts"

export const views = ["anonymized", "original"] as const
export type View = (typeof views)[number]

export const prefixOf = (view: View) => (view === "original" ? "customer_v2" : "customer")

/** A database and a Redis of one test's own. */
export const servers = Effect.gen(function* () {
  const { database, uri } = yield* testMongo
  const { url } = yield* testRedis
  return { database, uri, url }
})

/** Customers that both mirrors show, and all that looks at them. */
export const worldOf = (count: number) =>
  Effect.gen(function* () {
    const secret = yield* AnonymizeKey.generate
    const { builds, options, sync } = yield* syncAndBuilds(secret)
    const customers = yield* TwinRepository.make(options)
    const redis = yield* RedisConnection.RedisConnection
    const ids = (yield* customers.createMany(
      Array.from({ length: count }, (_, at) => ({
        name: `Näme ${at}`,
        visits: at / 3,
        ...(at % 2 === 0 ? { note: `secret ${at}` } : {})
      }))
    )).map(({ _id }) => _id)
    const sinks = [
      yield* RedisMirror.make({ topics: [topic], isNew: true }),
      yield* RedisMirror.originals({ topics: [originalTopic], isNew: true, indexes })
    ] as const

    const startRelay = Effect.gen(function* () {
      const relay = yield* Relay.make({ sinks })
      return yield* Effect.fork(relay.run)
    })

    const drain = drainInto(sinks)

    const command = (...words: ReadonlyArray<string>) => redis.command(words)

    const asked = (commands: ReadonlyArray<ReadonlyArray<string>>) =>
      Effect.flatMap(redis.pipeline(commands), (replies) => Effect.all(replies))

    const readings: Readonly<Record<string, (name: string) => ReadonlyArray<string>>> = {
      hash: (name) => ["HGETALL", name],
      zset: (name) => ["ZRANGE", name, "0", "-1"],
      string: (name) => ["GET", name]
    }

    /** Fields of a hash in the order of their names. */
    const textOf = (type: string, content: unknown): string => {
      if (type !== "hash" || !Array.isArray(content)) return String(content)
      const fields = content.flatMap((field, at) => (at % 2 === 0 ? [`${field}=${content[at + 1]}`] : []))
      return fields.toSorted().join("\n")
    }

    /** Every key of this Redis and what it holds; markers count batches and are left out. */
    const everything = Effect.gen(function* () {
      const names = ((yield* command("KEYS", "*")) as Array<string>).filter(
        (name) => !name.startsWith("twinbox:mirror:")
      )
      const types = (yield* asked(names.map((name) => ["TYPE", name]))).map(String)
      const contents = yield* asked(names.map((name, at) => readings[types[at] ?? ""]?.(name) ?? ["PING"]))
      return new Map(names.map((name, at) => [name, textOf(types[at] ?? "", contents[at])]))
    })

    const standing = (view: View) =>
      Effect.gen(function* () {
        const mirror = yield* MirrorView.make({ view })
        const found: Array<string> = []
        yield* sync.verifyMirror(mirror, {
          recheckAfter: 0,
          onReport: ({ id, kind }) => Effect.sync(() => void found.push(`${id} ${kind}`))
        })
        return found
      })

    const leftovers = Effect.map(command("KEYS", "twinbox:rebuild:*"), (names) => names as Array<string>)

    return {
      secret,
      customers,
      sync,
      builds,
      redis,
      ids,
      id: (at: number) => ids[at] ?? "",
      sinks,
      startRelay,
      isDrained: untilDrained,
      drain,
      command,
      everything,
      standing,
      leftovers
    }
  })
