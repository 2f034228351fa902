import { describe, expect, it } from "@effect/vitest"
import { Key, RemoteWrite } from "@twinbox/outbox"
import { RedisError, RedisOutboxMetrics } from "@twinbox/redis"
import { Deferred, Duration, Effect, Fiber, Logger, Metric, Schedule } from "effect"
import { Authority } from "./testAuthority.ts"
import { type Connection, connect, ownRedis } from "./testParts.ts"
import {
  create,
  drained,
  listingsAt,
  lockKey,
  logKey,
  onFreshRedis,
  originalsOver,
  outboxOver,
  readerOver,
  recordAt,
  remove,
  replace,
  running,
  until
} from "./testOutbox.ts"

type Port = typeof RemoteWrite.RemoteWrites.Service

/** A port that can be held up. */
const gated = (authority: Authority) => {
  const away = new Set<string>()
  const undecided = new RemoteWrite.Undecided({ operation: "apply", cause: { message: "away" } })
  const port: Port = {
    apply: (write) =>
      Effect.suspend(() =>
        away.has("*") || away.has(Key.idOf(write.key)) ? undecided : authority.port.apply(write)
      ),
    current: (key) => Effect.suspend(() => (away.has("*") ? undecided : authority.port.current(key)))
  }
  return { away, port }
}

const noAnswer = new RedisError.RedisError({ reason: "Unavailable", server: "test" })

const retrying = Schedule.spaced("20 millis")

/** The ids of the records that were given to the authority, in order. */
const givenTo = (authority: Authority) => authority.given.map(({ key }) => Key.idOf(key))

describe("a reader", () => {
  it.scopedLive("brings writes to MongoDB in order, and Redis takes what MongoDB made of them", () =>
    Effect.gen(function* () {
      const { ask, connection, outbox, url } = yield* onFreshRedis()
      const authority = new Authority()
      yield* outbox.write(create("42", { name: "Ada", email: "ada@x" }))
      yield* outbox.write({
        operation: "patch",
        id: "42",
        document: {},
        patch: { name: null, city: "London" }
      })
      yield* outbox.write(create("7", { name: "Eve" }))
      yield* outbox.write(remove("7"))
      yield* running(connection, authority.port, { tombstoneTtl: "1 minute" })
      yield* drained(outbox)
      expect(authority.state("42")).toEqual({
        version: 2,
        payload: '{"_id":"42","version":2,"email":"ada@x","city":"London"}'
      })
      expect(yield* recordAt(url, "42")).toEqual({
        version: "2",
        json: authority.state("42").payload,
        "index:email": "ada@x"
      })
      expect(yield* recordAt(url, "7")).toEqual({ tombstone: "2" })
      const left = Number(yield* ask("PTTL", "tombstone:{customer_v2:7}"))
      expect(left).toBeGreaterThan(30_000)
      expect(left).toBeLessThanOrEqual(60_000)
      expect(yield* listingsAt(url)).toEqual({ ids: ["42"], emails: ["ada@x\u000042"] })
      expect(yield* ask("XPENDING", logKey, "mongodb")).toEqual([0, null, null, []])
    })
  )

  it.scopedLive("is woken by a write", () =>
    Effect.gen(function* () {
      const { connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      const { reader } = yield* running(connection, authority.port, { lockFor: "3 seconds" })
      yield* until(Effect.map(reader.status, ({ active }) => active))
      const [took] = yield* Effect.timed(
        Effect.forEach(Array.from({ length: 20 }), (_, at) =>
          Effect.zipRight(outbox.write(create(`${at}`, {})), drained(outbox))
        )
      )
      // Waiting for its next look at the log would take it half a second each time.
      expect(Duration.toMillis(took)).toBeLessThan(4000)
    })
  )

  it.scopedLive("sends back what MongoDB has of a refused write, and lists it with the reason", () =>
    Effect.gen(function* () {
      const { connection, outbox, url } = yield* onFreshRedis()
      const authority = new Authority()
      authority.change("42", { operation: "create", body: { name: "theirs" } })
      const refused = yield* outbox.write(create("42", { name: "ours", email: "ours@x" }))
      const invalid = yield* outbox.write(create("7", { invalid: true, email: "secret@x" }))
      yield* running(connection, authority.port)
      yield* drained(outbox)
      expect(yield* recordAt(url, "42")).toEqual({ version: "1", json: authority.state("42").payload })
      // MongoDB never had it.
      expect(yield* recordAt(url, "7")).toEqual({})
      expect(yield* listingsAt(url)).toEqual({ ids: ["42"], emails: [] })
      const list = yield* outbox.refused.list({ limit: 10 })
      expect(
        new Set(list.map(({ key, operation, reason, write }) => [key, operation, reason, write].join()))
      ).toEqual(
        new Set([
          `customer/42,create,Exists,${refused.pending}`,
          `customer/7,create,Invalid,${invalid.pending}`
        ])
      )
      expect(JSON.stringify(list)).not.toMatch(/ours|secret/)
    })
  )

  it.scopedLive("of a refused create over a tombstone brings the tombstone back", () =>
    Effect.gen(function* () {
      const { connection, outbox, url } = yield* onFreshRedis()
      const authority = new Authority()
      authority.change("42", { operation: "create", body: {} })
      authority.change("42", { operation: "delete", body: null })
      const mirror = yield* originalsOver(connection)
      yield* mirror.deliver(authority.messages)
      yield* outbox.write(create("42", { invalid: true }))
      yield* running(connection, authority.port)
      yield* drained(outbox)
      expect(yield* recordAt(url, "42")).toEqual({ tombstone: "2" })
    })
  )

  it.scopedLive("applies a requeued write to what is there by then", () =>
    Effect.gen(function* () {
      const { connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      yield* outbox.write(create("42", { name: "Ada" }))
      yield* running(connection, authority.port)
      yield* drained(outbox)
      yield* outbox.write({ ...replace("42", { name: "first" }), expectedVersion: 1 })
      yield* outbox.write({ ...replace("42", { name: "second" }), expectedVersion: 1 })
      yield* drained(outbox)
      expect(authority.document("42")).toEqual({ name: "first" })
      const [refused] = yield* outbox.refused.list({ limit: 10 })
      expect(refused?.reason).toBe("VersionConflict")
      yield* outbox.refused.requeue(refused!.position)
      yield* drained(outbox)
      expect(authority.document("42")).toEqual({ name: "second" })
    })
  )

  it.scopedLive("leaves a newer write alone, and reads again what the mirror has seen newer", () =>
    Effect.gen(function* () {
      const { connection, outbox, url } = yield* onFreshRedis()
      const authority = new Authority()
      const mirror = yield* originalsOver(connection)
      const applied = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const port: Port = {
        ...authority.port,
        apply: (write) =>
          Effect.tap(authority.port.apply(write), () =>
            Effect.zipRight(Deferred.succeed(applied, undefined), Deferred.await(goOn))
          )
      }
      yield* outbox.write(create("1", { name: "one" }))
      yield* outbox.write(create("2", { name: "two" }))
      yield* running(connection, port)
      yield* until(Effect.sync(() => authority.given.length === 2))
      // 1 is changed by MongoDB's side, and the mirror sees it before Redis hears of its own write.
      authority.change("1", { operation: "replace", body: { name: "newest" } })
      yield* mirror.deliver(authority.messages.filter(({ sequence }) => sequence === 2))
      expect(yield* recordAt(url, "1")).toMatchObject({ skipped: "2" })
      // 2 is changed by Redis's side meanwhile.
      yield* outbox.write(replace("2", { name: "newer" }))
      yield* Deferred.succeed(goOn, undefined)
      yield* drained(outbox)
      expect(yield* recordAt(url, "1")).toEqual({ version: "2", json: authority.state("1").payload })
      expect(yield* recordAt(url, "2")).toEqual({ version: "2", json: authority.state("2").payload })
      expect(authority.document("2")).toEqual({ name: "newer" })
    })
  )

  it.scopedLive("confirms an older write without touching what a newer one shows", () =>
    Effect.gen(function* () {
      const { connection, outbox, url } = yield* onFreshRedis()
      const authority = new Authority()
      const { away, port } = gated(authority)
      const decided: Array<string> = []
      const first = yield* outbox.write(create("42", { name: "first" }))
      const second = yield* outbox.write(replace("42", { name: "second" }))
      yield* running(connection, {
        ...port,
        apply: (write) =>
          Effect.suspend(() => {
            if (write.position === second.pending && decided.length === 0) away.add("42")
            return port.apply(write)
          })
      })
      yield* until(Effect.map(Effect.orDie(outbox.depth), (depth) => depth === 1))
      expect(authority.given.map(({ position }) => position)).toEqual([first.pending])
      expect(yield* recordAt(url, "42")).toEqual({
        version: "0",
        pending: second.pending,
        json: '{"_id":"42","name":"second"}'
      })
      decided.push("first")
      away.clear()
      yield* drained(outbox)
      expect(yield* recordAt(url, "42")).toEqual({ version: "2", json: authority.state("42").payload })
    })
  )

  it.scopedLive("keeps trying what MongoDB does not decide on, in order, while other records go on", () =>
    Effect.gen(function* () {
      const { connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      const { away, port } = gated(authority)
      away.add("slow")
      yield* outbox.write(create("slow", { step: 0 }))
      for (let step = 1; step <= 5; step++) yield* outbox.write(replace("slow", { step }))
      for (let id = 0; id < 50; id++) yield* outbox.write(create(`${id}`, {}))
      // Fewer at a time than wait, so that those who wait must not keep the others out.
      const { reader } = yield* running(connection, port, { concurrency: 1, batch: 10 })
      yield* until(Effect.map(Effect.orDie(outbox.depth), (depth) => depth === 6))
      expect(givenTo(authority)).not.toContain("slow")
      expect((yield* reader.status).underWay).toBe(6)
      away.clear()
      yield* drained(outbox)
      expect(authority.state("slow").version).toBe(6)
      expect(authority.document("slow")).toEqual({ step: 5 })
    })
  )

  it.scopedLive("writes to MongoDB as many records at a time as it may, and no more", () =>
    Effect.gen(function* () {
      const { connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      let busy = 0
      let most = 0
      const port: Port = {
        ...authority.port,
        apply: (write) =>
          Effect.gen(function* () {
            most = Math.max(most, ++busy)
            yield* Effect.sleep("5 millis")
            return authority.apply(write)
          }).pipe(Effect.ensuring(Effect.sync(() => (busy -= 1))))
      }
      for (let id = 0; id < 40; id++) yield* outbox.write(create(`${id}`, {}))
      yield* running(connection, port, { concurrency: 3, lockFor: "1 hour" })
      yield* drained(outbox)
      expect(most).toBe(3)
    })
  )

  it.scopedLive("lists what it cannot read as invalid, and goes on at once", () =>
    Effect.gen(function* () {
      const { ask, connection, outbox, url } = yield* onFreshRedis()
      const authority = new Authority()
      authority.change("42", { operation: "create", body: { name: "theirs" } })
      yield* ask("XADD", logKey, "*", "something", "secret")
      yield* ask("XADD", logKey, "*", "key", "order/1", "operation", "create")
      // A record that waits for what cannot be read gets MongoDB's state.
      const odd = ["key", "customer/42", "operation", "explode", "id", "no uuid", "body", "{}"]
      const position = String(yield* ask("XADD", logKey, "*", ...odd))
      yield* ask("HSET", "customer_v2:42", "version", "0", "pending", position, "json", "{}")
      yield* outbox.write(create("7", { name: "Eve" }))
      yield* running(connection, authority.port)
      yield* drained(outbox)
      expect(givenTo(authority)).toEqual(["7"])
      expect(yield* recordAt(url, "42")).toEqual({ version: "1", json: authority.state("42").payload })
      const list = yield* outbox.refused.list({ limit: 10 })
      expect(list.map(({ key, operation, reason }) => [key, operation, reason].join()).toSorted()).toEqual([
        ",,Invalid",
        "customer/42,,Invalid",
        "order/1,create,Invalid"
      ])
    })
  )

  it.scopedLive("refuses what has outlived too many readers", () =>
    Effect.gen(function* () {
      const { ask, connection, outbox, url } = yield* onFreshRedis()
      const authority = new Authority()
      yield* outbox.write(create("42", { name: "killer" }))
      yield* ask("XGROUP", "CREATE", logKey, "mongodb", "0")
      yield* ask("XREADGROUP", "GROUP", "mongodb", "dead", "STREAMS", logKey, ">")
      for (let claims = 0; claims < 2; claims++) {
        yield* ask("XAUTOCLAIM", logKey, "mongodb", "dead", "0", "0-0")
      }
      yield* outbox.write(create("7", {}))
      yield* running(connection, authority.port, { maxDeliveries: 3 })
      yield* drained(outbox)
      expect(givenTo(authority)).toEqual(["7"])
      expect(yield* outbox.refused.list({ limit: 10 })).toMatchObject([
        { key: "customer/42", reason: "Failed", attempts: 4 }
      ])
      expect(yield* recordAt(url, "42")).toEqual({})
      // Consumers that have nothing left do not pile up.
      expect(JSON.stringify(yield* ask("XINFO", "CONSUMERS", logKey, "mongodb"))).not.toContain("dead")
    })
  )

  it.scopedLive("does not count against a write that it claims from itself", () =>
    Effect.gen(function* () {
      const { ask, connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      const { away, port } = gated(authority)
      away.add("*")
      yield* outbox.write(create("42", {}))
      const { reader } = yield* running(connection, port, { maxDeliveries: 2, lockFor: "1 hour" })
      const holder = ask("GET", lockKey)
      for (let losses = 0; losses < 5; losses++) {
        yield* until(Effect.map(reader.status, ({ underWay }) => underWay === 1))
        const before = yield* holder
        yield* ask("DEL", lockKey)
        yield* until(Effect.map(holder, (after) => after !== null && after !== before))
      }
      away.clear()
      yield* drained(outbox)
      expect(authority.state("42").version).toBe(1)
    })
  )

  it.scopedLive("takes a fault of the program for a write that kills, and goes on with the others", () =>
    Effect.gen(function* () {
      const { connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      yield* outbox.write(create("42", { name: "secret" }))
      yield* outbox.write(create("7", {}))
      const lines: Array<unknown> = []
      const port: Port = {
        ...authority.port,
        apply: (write) =>
          write.key === "customer/42" ? Effect.die(new Error("secret")) : authority.port.apply(write)
      }
      yield* running(connection, port, { maxDeliveries: 3 }).pipe(
        Effect.provide(
          Logger.replace(
            Logger.defaultLogger,
            Logger.map(Logger.stringLogger, (line) => lines.push(line))
          )
        )
      )
      yield* drained(outbox)
      expect(yield* outbox.refused.list({ limit: 10 })).toMatchObject([
        { key: "customer/42", reason: "Failed", attempts: 4 }
      ])
      expect(lines.join("\n")).toContain("fault of the program")
      expect(lines.join("\n")).not.toContain("secret")
    })
  )

  it.scopedLive("counts what it did", () =>
    Effect.gen(function* () {
      const { connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      const { away, port } = gated(authority)
      const read = (metric: typeof RedisOutboxMetrics.applied, reason?: string) => {
        const tagged = Metric.tagged(metric, "stream", "customer")
        const one = reason === undefined ? tagged : Metric.tagged(tagged, "reason", reason)
        return Effect.map(Metric.value(one), ({ count }) => count)
      }
      const all = Effect.all([
        read(RedisOutboxMetrics.applied),
        read(RedisOutboxMetrics.refused, "Exists"),
        read(RedisOutboxMetrics.retried)
      ])
      const before = yield* all
      yield* outbox.write(create("42", {}))
      yield* outbox.write(remove("42"))
      authority.change("42", { operation: "create", body: {} })
      away.add("42")
      const { reader } = yield* running(connection, port)
      yield* until(Effect.map(read(RedisOutboxMetrics.retried), (count) => count > before[2]))
      const gauge = (metric: typeof RedisOutboxMetrics.depth) =>
        Effect.map(Metric.value(Metric.tagged(metric, "stream", "customer")), ({ value }) => value)
      yield* until(Effect.map(gauge(RedisOutboxMetrics.oldestAge), (age) => age > 0))
      expect(yield* gauge(RedisOutboxMetrics.depth)).toBe(2)
      expect(yield* gauge(RedisOutboxMetrics.active)).toBe(1)
      expect(yield* reader.status).toEqual({ active: true, underWay: 2 })
      away.clear()
      yield* drained(outbox)
      const after = yield* all
      expect([after[0] - before[0], after[1] - before[1]]).toEqual([1, 1])
      expect(after[2] - before[2]).toBeGreaterThan(0)
    })
  )
})

describe("several readers", () => {
  it.scopedLive("a stop finishes what is under way and leaves the rest to the next, who need not wait", () =>
    Effect.gen(function* () {
      const { ask, connection, outbox, url } = yield* onFreshRedis()
      const authority = new Authority()
      const { away, port } = gated(authority)
      const goOn = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      away.add("2")
      yield* outbox.write(create("1", { name: "one" }))
      yield* outbox.write(replace("1", { name: "two" }))
      yield* outbox.write(create("2", {}))
      const slow: Port = {
        ...port,
        apply: (write) =>
          Effect.tap(port.apply(write), () =>
            Effect.zipRight(Deferred.succeed(begun, undefined), Deferred.await(goOn))
          )
      }
      const first = yield* running(connection, slow, { lockFor: "1 hour" })
      yield* Deferred.await(begun)
      const stopping = yield* Effect.fork(Fiber.interrupt(first.fiber))
      yield* Effect.sleep("50 millis")
      expect(yield* ask("EXISTS", lockKey)).toBe(1)
      yield* Deferred.succeed(goOn, undefined)
      yield* Fiber.join(stopping)
      expect(yield* ask("EXISTS", lockKey)).toBe(0)
      expect(yield* first.reader.status).toEqual({ active: false, underWay: 0 })
      expect(yield* outbox.depth).toBe(2)
      expect(authority.given).toHaveLength(1)
      away.clear()
      yield* running(connection, authority.port, { owner: "second", lockFor: "1 hour" })
      yield* drained(outbox)
      expect(givenTo(authority).toSorted()).toEqual(["1", "1", "2"])
      expect(yield* recordAt(url, "1")).toEqual({ version: "2", json: authority.state("1").payload })
    })
  )

  it.scopedLive("a stop does not wait for ever", () =>
    Effect.gen(function* () {
      const { connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      const begun = yield* Deferred.make<void>()
      yield* outbox.write(create("1", {}))
      const stuck: Port = {
        ...authority.port,
        apply: () => Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)
      }
      const { fiber } = yield* running(connection, stuck, { stopWithin: "50 millis" })
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber).pipe(Effect.timeout("10 seconds"))
    })
  )

  it.scopedLive("one that is alive keeps its lock, also when it can take nothing more", () =>
    Effect.gen(function* () {
      const { ask, connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      const { away, port } = gated(authority)
      away.add("*")
      yield* outbox.write(create("1", {}))
      const { reader } = yield* running(connection, port, { batch: 1, lockFor: "1200 millis" })
      yield* until(Effect.map(reader.status, ({ underWay }) => underWay === 1))
      const holder = yield* ask("GET", lockKey)
      expect(holder).toMatch(/^reader:/)
      yield* Effect.sleep("1500 millis")
      expect(yield* ask("GET", lockKey)).toBe(holder)
    })
  )

  it.scopedLive("what a dead one left is claimed in order, before anything new", () =>
    Effect.gen(function* () {
      const { ask, connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      yield* outbox.write(create("1", { step: 0 }))
      for (let step = 1; step < 10; step++) yield* outbox.write(replace("1", { step }))
      yield* ask("XGROUP", "CREATE", logKey, "mongodb", "0")
      yield* ask("XREADGROUP", "GROUP", "mongodb", "dead", "COUNT", "5", "STREAMS", logKey, ">")
      yield* ask("SET", lockKey, "dead:1", "PX", "200")
      // Pages of three, over what was left and what is new.
      yield* running(connection, authority.port, { batch: 3 })
      yield* Effect.sleep("100 millis")
      expect(authority.given).toEqual([])
      yield* drained(outbox)
      expect(authority.state("1").version).toBe(10)
      expect(authority.document("1")).toEqual({ step: 9 })
    })
  )

  it.scopedLive("one that was paused and has lost its lock gets nothing new", () =>
    Effect.gen(function* () {
      const { ask, connection, outbox } = yield* onFreshRedis()
      const first = new Authority()
      const second = new Authority()
      const paused = yield* Deferred.make<void>()
      let isPaused = false
      const slow: Connection = {
        ...connection,
        pipeline: (commands) =>
          isPaused
            ? Effect.zipRight(Deferred.await(paused), connection.pipeline(commands))
            : connection.pipeline(commands)
      }
      const one = yield* running(slow, first.port)
      yield* until(Effect.map(one.reader.status, ({ active }) => active))
      isPaused = true
      yield* ask("DEL", lockKey)
      const two = yield* running(connection, second.port, { owner: "second", lockFor: "1 hour" })
      yield* until(Effect.map(two.reader.status, ({ active }) => active))
      isPaused = false
      yield* Deferred.succeed(paused, undefined)
      for (let id = 0; id < 20; id++) yield* outbox.write(create(`${id}`, {}))
      yield* drained(outbox)
      yield* until(Effect.map(one.reader.status, ({ active }) => !active))
      expect(first.given).toEqual([])
      expect(second.given).toHaveLength(20)
    })
  )
})

describe("a Redis that fails a reader", () => {
  it.scopedLive("the answer to a taking is lost: what was taken is claimed, in order", () =>
    Effect.gen(function* () {
      const { connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      let losses = 0
      const isTaking = (command: ReadonlyArray<string> | undefined) =>
        command?.[0] === "EVALSHA" && command.includes(">")
      const unreliable: Connection = {
        ...connection,
        pipeline: (commands) =>
          Effect.flatMap(connection.pipeline(commands), (replies) => {
            const tookSome = isTaking(commands[0]) && JSON.stringify(replies).includes("customer/")
            if (!tookSome) return Effect.succeed(replies)
            losses += 1
            return losses % 2 === 1 ? noAnswer : Effect.succeed(replies)
          })
      }
      yield* running(unreliable, authority.port, { batch: 4 })
      yield* outbox.write(create("1", { step: 0 }))
      for (let step = 1; step <= 30; step++) yield* outbox.write(replace("1", { step }))
      yield* drained(outbox)
      expect(losses).toBeGreaterThan(1)
      expect(authority.state("1").version).toBe(31)
      expect(authority.document("1")).toEqual({ step: 30 })
      expect(yield* outbox.refused.list({ limit: 1 })).toEqual([])
    })
  )

  it.scopedLive("killed under load and started again: nothing is lost, nothing is out of order", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis("--appendfsync", "always")
      const connection = yield* connect(server.uri)
      const outbox = yield* outboxOver(connection)
      const authority = new Authority()
      yield* running(connection, authority.port)
      const accepted: Array<number> = []
      yield* outbox.write(create("1", { step: 0 }))
      for (let step = 1; step <= 60; step++) {
        if (step % 20 === 0) {
          yield* server.kill("SIGKILL")
          yield* server.start
        }
        yield* outbox.write(replace("1", { step })).pipe(
          Effect.tap(() => Effect.sync(() => accepted.push(step))),
          Effect.retry({ while: (error) => error.retryable, schedule: retrying })
        )
      }
      yield* drained(outbox).pipe(Effect.retry(retrying))
      expect(accepted).toHaveLength(60)
      expect(authority.document("1")).toEqual({ step: 60 })
      expect(yield* recordAt(server.uri, "1")).toEqual({
        version: String(authority.state("1").version),
        json: authority.state("1").payload
      })
    })
  )

  it.scopedLive("started again without its data: the reader goes on with what comes", () =>
    Effect.gen(function* () {
      const server = yield* ownRedis()
      const connection = yield* connect(server.uri)
      const outbox = yield* outboxOver(connection)
      const authority = new Authority()
      yield* running(connection, authority.port)
      yield* outbox.write(create("1", {}))
      yield* drained(outbox)
      yield* server.restart({ wipe: true })
      yield* Effect.retry(outbox.write(create("2", {})), retrying)
      yield* drained(outbox)
      expect(authority.state("2").version).toBe(1)
    })
  )

  it.scopedLive(
    "the group is gone: it is made again from the start of the log, and nothing is applied twice",
    () =>
      Effect.gen(function* () {
        const { ask, connection, outbox } = yield* onFreshRedis()
        const authority = new Authority()
        const { away, port } = gated(authority)
        away.add("*")
        yield* running(connection, port)
        yield* outbox.write(create("1", { step: 0 }))
        yield* outbox.write(replace("1", { step: 1 }))
        yield* until(
          Effect.map(Effect.either(ask("XPENDING", logKey, "mongodb")), (reply) =>
            JSON.stringify(reply).includes("[2")
          )
        )
        yield* ask("XGROUP", "DESTROY", logKey, "mongodb")
        yield* outbox.write(replace("1", { step: 2 }))
        away.clear()
        yield* drained(outbox)
        expect(authority.state("1").version).toBe(3)
        expect(authority.document("1")).toEqual({ step: 2 })
      })
  )

  it.scopedLive("writes that a person took out of the log are not waited for", () =>
    Effect.gen(function* () {
      const { ask, connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      const gone = yield* outbox.write(create("1", {}))
      yield* outbox.write(create("2", {}))
      yield* ask("XGROUP", "CREATE", logKey, "mongodb", "0")
      yield* ask("XREADGROUP", "GROUP", "mongodb", "dead", "STREAMS", logKey, ">")
      yield* ask("XDEL", logKey, gone.pending)
      yield* running(connection, authority.port)
      yield* drained(outbox)
      expect(givenTo(authority)).toEqual(["2"])
      yield* until(
        Effect.map(ask("XPENDING", logKey, "mongodb"), (reply) => Array.isArray(reply) && reply[0] === 0)
      )
    })
  )

  it.scopedLive("a record that holds something else is left alone, and its write goes to MongoDB", () =>
    Effect.gen(function* () {
      const { ask, connection, outbox } = yield* onFreshRedis()
      const authority = new Authority()
      yield* outbox.write(create("1", {}))
      yield* ask("DEL", "customer_v2:1")
      yield* ask("SET", "customer_v2:1", "something else")
      yield* running(connection, authority.port)
      yield* drained(outbox)
      expect(authority.state("1").version).toBe(1)
      expect(yield* ask("GET", "customer_v2:1")).toBe("something else")
    })
  )

  it.scopedLive("what waiting does not mend ends the reader", () =>
    Effect.gen(function* () {
      const { ask, connection } = yield* onFreshRedis()
      yield* ask("SET", logKey, "something else")
      const reader = yield* readerOver(connection, new Authority().port)
      const error = yield* Effect.flip(reader.run)
      expect(error).toMatchObject({ reason: "WrongType", retryable: false })
      expect(yield* ask("EXISTS", lockKey)).toBe(0)
    })
  )
})
