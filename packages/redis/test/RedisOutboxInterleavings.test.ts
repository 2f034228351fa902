import { expect, it } from "@effect/vitest"
import { Key, type Message, RemoteWrite } from "@twinbox/outbox"
import { RedisMirror, RedisOutbox } from "@twinbox/redis"
import { redisCommands } from "@twinbox/services"
import { Effect, FastCheck as fc, Fiber, Logger, LogLevel, Option, type Scope } from "effect"
import { testRedis } from "../../../test/setup/testServers.ts"
import { Authority, type Change, merge } from "./testAuthority.ts"
import { type Connection, connect, customerOriginals, using } from "./testParts.ts"
import { drained, indexes, readerOver } from "./testOutbox.ts"

const ids = ["a", "b"]

type Body = Readonly<Record<string, unknown>>

/** What happens to the two stores, one thing after the other, while two readers are at work. */
type Step =
  | {
      readonly _tag: "WriteInRedis"
      readonly id: string
      readonly change: Change
      readonly isConditional: boolean
    }
  /** A change that MongoDB makes by itself; its message may reach the mirror at once. */
  | {
      readonly _tag: "WriteInMongo"
      readonly id: string
      readonly change: Change
      readonly isDelivered: boolean
    }
  /** The mirror gets the next messages of some records, after some that it had before. */
  | {
      readonly _tag: "Deliver"
      readonly ids: ReadonlyArray<string>
      readonly count: number
      readonly again: number
    }
  /** A reader dies, wherever it is, and another starts. */
  | { readonly _tag: "Crash"; readonly reader: 0 | 1 }
  /** A reader loses its lock without noticing. */
  | { readonly _tag: "LoseLock" }
  | { readonly _tag: "Pause"; readonly millis: number }
  | { readonly _tag: "Drain" }

const id = fc.constantFrom(...ids)

const body: fc.Arbitrary<Body> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ name: fc.constantFrom("Ada", "Eve"), email: fc.constantFrom("a@x", "b@x") })
  },
  { weight: 2, arbitrary: fc.record({ city: fc.constantFrom("London", "Rome") }) },
  { weight: 4, arbitrary: fc.constant({ invalid: true }) }
)

const patch: fc.Arbitrary<Body> = fc.oneof(
  fc.record({ name: fc.constantFrom("Ada", "Eve", null) }),
  fc.record({ email: fc.constantFrom("a@x", "c@x", null) })
)

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ operation: fc.constant("create" as const), body }),
  fc.record({ operation: fc.constant("replace" as const), body }),
  fc.record({ operation: fc.constant("patch" as const), body: patch }),
  fc.constant<Change>({ operation: "delete", body: null })
)

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      _tag: fc.constant("WriteInRedis" as const),
      id,
      change,
      isConditional: fc.boolean()
    })
  },
  {
    weight: 4,
    arbitrary: fc.record({
      _tag: fc.constant("WriteInMongo" as const),
      id,
      change,
      isDelivered: fc.boolean()
    })
  },
  {
    weight: 6,
    arbitrary: fc.record({
      _tag: fc.constant("Deliver" as const),
      ids: fc.subarray(ids, { minLength: 1 }),
      count: fc.integer({ min: 1, max: 4 }),
      again: fc.constantFrom(0, 0, 0, 1, 3)
    })
  },
  {
    weight: 2,
    arbitrary: fc.record({ _tag: fc.constant("Crash" as const), reader: fc.constantFrom<0 | 1>(0, 1) })
  },
  { weight: 1, arbitrary: fc.constant<Step>({ _tag: "LoseLock" }) },
  {
    weight: 8,
    arbitrary: fc.record({ _tag: fc.constant("Pause" as const), millis: fc.constantFrom(1, 4, 15) })
  },
  { weight: 1, arbitrary: fc.constant<Step>({ _tag: "Drain" }) }
)

interface Story {
  readonly steps: ReadonlyArray<Step>
  /** How long the authority thinks before and after it decides, in turn, in milliseconds; -1: it cannot decide. */
  readonly delays: ReadonlyArray<readonly [number, number]>
  /** Whether the last messages come after the last writes, or before. */
  readonly isMirrorLate: boolean
}

const story: fc.Arbitrary<Story> = fc.record({
  steps: fc.array(step, { minLength: 5, maxLength: 40 }),
  delays: fc.array(fc.tuple(fc.integer({ min: -1, max: 4 }), fc.constantFrom(0, 1, 4, 15)), {
    minLength: 1,
    maxLength: 12
  }),
  isMirrorLate: fc.boolean()
})

const undecided = new RemoteWrite.Undecided({ operation: "apply", cause: { message: "away" } })

/** The authority as readers meet it: slow, and now and then away. */
const slow = (authority: Authority, delays: Story["delays"]): typeof RemoteWrite.RemoteWrites.Service => {
  let calls = 0
  return {
    ...authority.port,
    apply: (write) =>
      Effect.gen(function* () {
        const [before, after] = delays[calls++ % delays.length] ?? [0, 0]
        if (before < 0 && calls % 3 !== 0) return yield* undecided
        yield* Effect.sleep(Math.max(0, before))
        const verdict = authority.apply(write)
        yield* Effect.sleep(after)
        return verdict
      })
  }
}

/** Hands the messages of the authority to the mirror: of each record in order, but for repetitions. */
class Courier {
  readonly #authority: Authority
  readonly #mirror: RedisMirror.RedisMirror<"original">
  readonly #next = new Map<string, number>()

  constructor(authority: Authority, mirror: RedisMirror.RedisMirror<"original">) {
    this.#authority = authority
    this.#mirror = mirror
  }

  deliver(wanted: ReadonlyArray<string>, count: number, again: number) {
    const batch = wanted.flatMap((one): ReadonlyArray<Message.Message> => {
      const all = this.#authority.messages.filter(({ key }) => Key.idOf(key) === one)
      const next = this.#next.get(one) ?? 0
      this.#next.set(one, Math.min(all.length, next + count))
      return all.slice(Math.max(0, next - again), next + count)
    })
    return Effect.map(this.#mirror.deliver(batch), (rejections) => expect(rejections).toEqual([]))
  }
}

/** A write in Redis as a caller makes it; undefined: it was not accepted. */
const writeInRedis = (
  outbox: RedisOutbox.RedisOutbox,
  { change: { body: given, operation }, id: one, isConditional }: Extract<Step, { _tag: "WriteInRedis" }>
) =>
  Effect.gen(function* () {
    const shown = Option.getOrUndefined(yield* outbox.get(one))
    const document = operation === "patch" ? merge(shown?.document, given) : given
    const { pending } = yield* outbox.write({
      operation,
      id: one,
      document,
      ...(operation === "patch" ? { patch: given } : {}),
      ...(operation === "patch" && shown !== undefined ? { basis: shown } : {}),
      ...(isConditional && shown !== undefined ? { expectedVersion: shown.version } : {})
    })
    return { position: pending, document }
  }).pipe(Effect.catchTag("WriteRefused", () => Effect.succeed(undefined)))

/** What Redis has to show of a record when all is settled. */
const expected = (authority: Authority, one: string) => {
  const { payload, version } = authority.state(one)
  if (version === 0) return [{}, null]
  if (payload === null) return [{}, String(version)]
  const email = authority.document(one)?.["email"]
  const indexed = typeof email === "string" ? { "index:email": email } : {}
  return [{ version: String(version), json: payload, ...indexed }, null]
}

const readBoth = "return { redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[2]) }"

/** Hash and tombstone of a record, as they are at one moment. */
const actual = (connection: Connection, prefix: string, one: string) =>
  Effect.map(
    connection.command(["EVAL", readBoth, "2", `${prefix}:${one}`, `tombstone:{${prefix}:${one}}`]),
    (reply): readonly [Readonly<Record<string, string>>, unknown] => {
      const [flat, tombstone] = Array.isArray(reply) ? (reply as ReadonlyArray<unknown>) : []
      const texts = Array.isArray(flat) ? flat.map(String) : []
      const pairs = Array.from({ length: texts.length / 2 }, (_, at) => [texts[2 * at], texts[2 * at + 1]])
      return [Object.fromEntries(pairs) as Record<string, string>, tombstone]
    }
  )

/** A write that Redis has accepted, and what it shows by it. */
interface Accepted {
  readonly position: string
  readonly document: unknown
}

/** At any moment: never hash and tombstone, and a write shows until MongoDB has decided on it. */
const expectShown = (
  connection: Connection,
  prefix: string,
  authority: Authority,
  newest: ReadonlyMap<string, Accepted>
) =>
  Effect.forEach(ids, (one) =>
    Effect.gen(function* () {
      const [hash, tombstone] = yield* actual(connection, prefix, one)
      expect(Object.keys(hash).length > 0 && tombstone !== null).toBe(false)
      const write = newest.get(one)
      if (write === undefined || authority.given.some(({ position }) => position === write.position)) return
      expect(hash["pending"]).toBe(write.position)
      const json = hash["json"]
      const shown = json === undefined ? null : (JSON.parse(json) as unknown)
      expect(shown).toEqual(write.document === null ? null : { _id: one, ...Object(write.document) })
    })
  )

const expectedListings = (authority: Authority) => {
  const present = ids.filter((one) => authority.document(one) !== null)
  const emails = present.flatMap((one) => {
    const email = authority.document(one)?.["email"]
    return typeof email === "string" ? [`${email}\0${one}`] : []
  })
  return [present, emails.toSorted()]
}

/** Of each record, the writes were given to MongoDB for the first time in the order of the log. */
const expectOrder = (authority: Authority) => {
  for (const one of ids) {
    const given = authority.given.filter(({ key }) => Key.idOf(key) === one).map(({ position }) => position)
    const first = [...new Set(given)]
    const place = (position: string) => position.split("-").map(Number)
    const inOrder = first.toSorted((a, b) => {
      const [[msA = 0, seqA = 0], [msB = 0, seqB = 0]] = [place(a), place(b)]
      return msA - msB || seqA - seqB
    })
    expect(first).toEqual(inOrder)
  }
}

const endsEqual = (
  connection: Connection,
  url: string,
  prefix: string,
  { delays, isMirrorLate, steps }: Story
): Effect.Effect<void, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const authority = new Authority()
    const port = slow(authority, delays)
    const outbox = yield* using(connection)(RedisOutbox.make({ stream: "customer", prefix, indexes }))
    const mirror = yield* using(connection)(
      RedisMirror.originals({
        topics: [customerOriginals],
        isNew: true,
        indexes,
        name: prefix,
        prefixOf: () => prefix
      })
    )
    const courier = new Courier(authority, mirror)
    const start = (name: string) =>
      Effect.flatMap(
        readerOver(connection, port, {
          prefix,
          owner: name,
          lockFor: "60 millis",
          stopWithin: 0,
          concurrency: 2,
          batch: 5
        }),
        ({ run }) => Effect.forkScoped(run)
      )
    const readers = [yield* start("one"), yield* start("two")]
    const accepted: Array<string> = []
    const newest = new Map<string, Accepted>()
    for (const [at, one] of steps.entries()) {
      switch (one._tag) {
        case "WriteInRedis": {
          const write = yield* writeInRedis(outbox, one)
          if (write === undefined) break
          accepted.push(write.position)
          newest.set(one.id, write)
          break
        }
        case "WriteInMongo":
          authority.change(one.id, one.change)
          if (one.isDelivered) yield* courier.deliver([one.id], Number.MAX_SAFE_INTEGER, 0)
          break
        case "Deliver":
          yield* courier.deliver(one.ids, one.count, one.again)
          break
        case "Crash":
          yield* Fiber.interrupt(readers[one.reader]!)
          readers[one.reader] = yield* start(`after-${at}`)
          break
        case "LoseLock":
          yield* connection.command(["DEL", `reader:{${prefix}}`])
          break
        case "Pause":
          yield* Effect.sleep(one.millis)
          break
        case "Drain":
          yield* drained(outbox)
      }
      yield* expectShown(connection, prefix, authority, newest)
    }
    if (isMirrorLate) yield* drained(outbox)
    // Nothing is delivered again here: that would mend what went wrong before.
    yield* courier.deliver(ids, Number.MAX_SAFE_INTEGER, 0)
    yield* drained(outbox)
    yield* courier.deliver(ids, Number.MAX_SAFE_INTEGER, 0)

    for (const one of ids) {
      expect([one, ...(yield* actual(connection, prefix, one))]).toEqual([one, ...expected(authority, one)])
    }
    const listings = yield* redisCommands(url, [
      ["ZRANGE", `ids:{${prefix}}`, "0", "-1"],
      ["ZRANGE", `index:email:{${prefix}}`, "0", "-1"],
      ["XPENDING", `writes:{${prefix}}`, "mongodb"]
    ])
    expect(listings.slice(0, 2)).toEqual(expectedListings(authority))
    expect(listings[2]).toEqual([0, null, null, []])
    // Whatever was accepted was decided, once.
    expect(authority.decided).toBe(accepted.length)
    expect(new Set(authority.given.map(({ position }) => position))).toEqual(new Set(accepted))
    expectOrder(authority)
    yield* Effect.forEach(readers, Fiber.interrupt)
  })

it.scopedLive("whatever happens on both sides, both stores end equal", () =>
  Effect.gen(function* () {
    const { url } = yield* testRedis
    const connection = yield* connect(url, { replyWithin: "5 seconds" })
    let run = 0
    yield* Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(story, (given) =>
          Effect.runPromise(
            Effect.scoped(endsEqual(connection, url, `run${++run}`, given)).pipe(
              Logger.withMinimumLogLevel(LogLevel.Error)
            )
          )
        ),
        { numRuns: 80, endOnFailure: true }
      )
    )
  })
)
