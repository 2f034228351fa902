import { describe, expect, it } from "@effect/vitest"
import { Slot } from "@twinbox/outbox"
import { redisCommands } from "@twinbox/services"
import { Effect } from "effect"
import { type Db, MongoClient } from "mongodb"
import * as CliWorld from "../../../packages/cli/test/CliWorld.ts"
import { appDatabase } from "../../../test/setup/appDatabase.ts"
import { type AppProcess, startApp } from "../../../test/setup/appProcess.ts"
import { openSession, trackMessage } from "../../../test/setup/sessionClient.ts"
import { describeKafka, testKafka } from "../../../test/setup/testKafka.ts"
import { type Call, type Reply, request } from "./apiServer.ts"
import { exchange } from "./httpClient.ts"
import { Markers } from "./markers.ts"

const uidOf = ({ body }: Reply): string => (body as { readonly uid: string }).uid

const until = <A>(look: Effect.Effect<A>, isSo: (found: A) => boolean) =>
  Effect.repeat(Effect.delay(look, "50 millis"), { until: isSo }).pipe(Effect.timeout("30 seconds"))

const isMirrored = (status: number): boolean => status === 200

/** The app as a process that tells all it can, with its database to look into. */
const startWorld = (format: string, roles: string, more: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const { env, place } = yield* appDatabase
    const app = yield* startApp({
      env: { ...env, ...more, LOG_LEVEL: "debug", LOG_FORMAT: format },
      args: ["--roles", roles]
    })
    const [, base = ""] = yield* Effect.promise(() => app.waitFor(/HTTP: (http:\/\/[^ ]+) has/))
    yield* Effect.promise(() => app.waitFor(/running: /))
    const client = yield* Effect.acquireRelease(
      Effect.promise(() => MongoClient.connect(env.MONGODB_URI)),
      (client) => Effect.promise(() => client.close())
    )
    const markers = new Markers()
    let requests = 0
    return {
      app,
      base,
      env,
      place,
      markers,
      db: client.db(),
      mark: () => markers.next(),
      call: (method: string, path: string, { headers, ...call }: Call = {}) =>
        request(`${base}${path}`, method, {
          ...call,
          headers: { "x-request-id": `call-${(requests += 1)}`, ...headers }
        })
    }
  })

type World = Effect.Effect.Success<ReturnType<typeof startWorld>>

/** A customer of whom every field is a marker. */
const full = ({ mark }: World) => ({
  firstName: mark(),
  lastName: mark(),
  email: `${mark()}@${mark()}.example`,
  address: {
    line1: mark(),
    line2: mark(),
    postcode: mark().slice(0, 20),
    city: mark(),
    state: mark(),
    country: mark()
  }
})

const short = ({ mark }: World) => ({ name: mark(), address: mark() })

const mergePatch = { "content-type": "application/merge-patch+json" }

/** What people do all day. */
const valid = (world: World, version: string) =>
  Effect.gen(function* () {
    const { call } = world
    const customer = full(world)
    const made = yield* call("POST", `/${version}/customer`, {
      body: customer,
      headers: { "idempotency-key": world.mark() }
    })
    const one = `/${version}/customer/${uidOf(made)}`
    yield* until(call("GET", one), ({ headers }) => headers.get("x-pending") === null)
    const replies = [
      made,
      yield* call("POST", `/${version}/customer`, { body: short(world) }),
      yield* call("PUT", one, { body: full(world) }),
      yield* call("PATCH", one, { body: { lastName: world.mark() }, headers: mergePatch }),
      yield* call("GET", one),
      yield* call("GET", `/${version}/customers?email=${customer.email}`),
      yield* call("DELETE", one)
    ]
    expect(replies.map(({ status }) => status)).toEqual([201, 201, 200, 200, 200, 200, 204])
  })

/** Requests that are refused, each for another reason. */
const invalid = (world: World, version: string) =>
  Effect.gen(function* () {
    const { base, call, mark } = world
    const uid = uidOf(yield* call("POST", `/${version}/customer`, { body: full(world) }))
    const customer = `/${version}/customer`
    const replies = [
      yield* call("POST", customer, { body: { ...full(world), firstName: [mark()] } }),
      yield* call("POST", customer, { body: { ...full(world), email: mark() } }),
      yield* call("POST", customer, { body: { ...full(world), [mark()]: mark() } }),
      yield* call("POST", customer, { body: { ...full(world), lastName: mark().repeat(100) } }),
      yield* call("POST", customer, { body: `{"name":"${mark()}","address":"${mark()}` }),
      yield* call("POST", customer, { body: mark(), headers: { "content-type": `text/${mark()}` } }),
      yield* call("POST", customer, { body: { name: mark(), address: mark().repeat(5_000) } }),
      yield* call("POST", customer, { body: full(world), headers: { "x-request-id": `${mark()} x` } }),
      yield* call("PATCH", `${customer}/${uid}`, { body: { email: mark() }, headers: mergePatch }),
      yield* call("PUT", `${customer}/${uid}`, {
        body: short(world),
        headers: { "if-match": `"${mark()}"` }
      }),
      yield* call("GET", `${customer}/${mark()}`, { headers: { cookie: mark(), "user-agent": mark() } }),
      yield* call("GET", `/${version}/customers?${mark()}=${mark()}`),
      yield* call("GET", `/${version}/customers?email=${mark()}`),
      yield* call("GET", `/${version}/customers?cursor=${mark()}`),
      yield* call("GET", `/${mark()}/${mark()}?name=${mark()}`),
      yield* call(mark().toUpperCase().replaceAll(/\d/g, "X"), customer),
      yield* call("GET", customer, { headers: { origin: `http://${mark()}` } })
    ]
    expect(replies.filter(({ status }) => status >= 500)).toEqual([])
    expect(replies.filter(({ status }) => status >= 400).length).toBeGreaterThanOrEqual(15)
    yield* exchange(Number(new URL(base).port), `${mark()} ${mark()}\r\nHost: ${mark()}\r\n\r\n`)
  })

/** MongoDB refuses a customer, and tells in its error what the customer has: https://www.mongodb.com/docs/manual/core/schema-validation/handle-invalid-documents/ */
const refuseCustomers = (db: Db, lastName: string) =>
  Effect.promise(() =>
    db.command({
      collMod: "customers",
      validator: { lastName: { $ne: lastName } },
      validationLevel: "strict"
    })
  )

/** What cannot be done, since the stores hold what nobody expects. */
const failing = (world: World) =>
  Effect.gen(function* () {
    const { call, db, mark, place } = world
    const customer = full(world)
    yield* refuseCustomers(db, customer.lastName)
    const [v1, v2] = [
      yield* call("POST", "/v1/customer", { body: customer }),
      yield* call("POST", "/v2/customer", { body: customer })
    ]
    expect([v1.status, v2.status]).toEqual([500, 201])

    const foreign = { _id: "foreign" as never, firstName: mark(), address: { [mark()]: mark() } }
    yield* Effect.promise(() => db.collection("customers").insertOne(foreign))
    expect((yield* call("GET", "/v1/customer/foreign")).status).toBe(500)
    expect((yield* call("PATCH", "/v1/customer/foreign", { body: { lastName: mark() } })).status).toBe(500)
    yield* Effect.orDie(
      redisCommands(place.redisUrl, [
        ["HSET", "customer_v2:foreign", "version", "1", "json", `{"firstName":"${mark()}`]
      ])
    )
    expect((yield* call("GET", "/v2/customer/foreign")).status).toBe(500)
  })

/** A message that the mirrors give up on, and a record that is none. */
const undeliverable = (world: World) =>
  Effect.gen(function* () {
    const { call, db, mark, place } = world
    const uid = uidOf(yield* call("POST", "/v1/customer", { body: full(world) }))
    yield* until(
      Effect.map(call("GET", `/v2/customer/${uid}`), ({ status }) => status),
      isMirrored
    )
    yield* Effect.orDie(
      redisCommands(place.redisUrl, [
        ["DEL", `customer_v2:${uid}`],
        ["SET", `customer_v2:${uid}`, mark()]
      ])
    )
    yield* call("PATCH", `/v1/customer/${uid}`, { body: { lastName: mark() } })
    yield* Effect.promise(() =>
      db.collection("outbox").insertOne({
        _id: "broken" as never,
        slot: 7,
        key: "customer/broken",
        sequence: 1,
        ordinal: 0,
        topic: "customer",
        payload: null,
        headers: { h: [mark()] },
        createdAt: new Date(),
        state: "ready"
      })
    )
    const dead = () => db.collection("outbox_dead").find().toArray()
    return yield* until(Effect.promise(dead), ({ length }) => length >= 2)
  })

const stored = (db: Db) =>
  Effect.map(
    Effect.promise(() => db.collection("logs").find().toArray()),
    (lines) => JSON.stringify(lines)
  )

/** All listings that people can ask for. */
const listings = (world: World) =>
  Effect.gen(function* () {
    const { call, env, place } = world
    const refused = yield* until(call("GET", "/v2/refused"), ({ body }) => {
      const { items } = body as { readonly items: ReadonlyArray<unknown> }
      return items.length > 0
    })
    const dead = yield* Effect.forEach([[], ["--json"]], (more) =>
      CliWorld.run(["dead", "--database", place.database, ...more], { MONGODB_URI: env.MONGODB_URI })
    )
    expect(dead.map(({ code, stdout }) => [code, stdout.includes("customer/")])).toEqual([
      [0, true],
      [0, true]
    ])
    return {
      refused: refused.text,
      dead: JSON.stringify(dead),
      metrics: (yield* call("GET", "/metrics")).text,
      readiness: (yield* call("GET", "/readyz")).text
    }
  })

const endOf = (app: AppProcess) =>
  Effect.promise(() => {
    app.signal("SIGTERM")
    return app.exit
  })

describe("Personal data", () => {
  for (const format of ["plain", "json"]) {
    it.scopedLive(
      `is in no log (${format}, all that LOG_LEVEL=debug tells), no metrics and no listing`,
      () =>
        Effect.gen(function* () {
          const world = yield* startWorld(format, "relay,api")
          const { app, db, markers } = world
          for (const version of ["v1", "v2"]) {
            yield* valid(world, version)
            yield* invalid(world, version)
          }
          yield* failing(world)
          const dead = yield* undeliverable(world)
          // The payloads are kept, for whoever gives them to the sink again.
          expect(markers.in(JSON.stringify(dead))).not.toEqual([])
          const told = yield* listings(world)
          yield* endOf(app)
          const lines = yield* stored(db)
          const customers = yield* Effect.promise(() => db.collection("customers").find().toArray())
          expect(markers.in(JSON.stringify(customers)).length).toBeGreaterThan(20)

          for (const [place, text] of Object.entries({ ...told, lines, output: app.output })) {
            expect([place, markers.in(text)]).toEqual([place, []])
            expect([place, text.length]).toEqual([place, expect.not.toBeOneOf([0, 2])])
          }
          for (const line of ["answered", "a request was not answered"]) {
            expect(lines).toContain(line)
            expect(app.output).toContain(line)
          }
          expect(lines).toContain('"request_id":"call-1"')
        }),
      120_000
    )
  }
})

const timestamp = "2026-05-01T12:00:00Z"

/** Events that are taken, with all that a page may tell of a person. */
const takenEvents = (world: World) => {
  const { mark } = world
  const properties = () => ({ email: `${mark()}@${mark()}.example`, [mark()]: { list: [mark(), 7] } })
  const whom = () => ({ userId: mark(), anonymousId: mark(), timestamp })
  return [
    { ...trackMessage("m0", properties()), ...whom(), event: mark() },
    { type: "page", messageId: "m1", ...whom(), name: mark(), category: mark(), properties: properties() },
    { type: "identify", messageId: "m2", ...whom(), traits: full(world) },
    { type: "identify", messageId: "m3", ...whom(), traits: short(world) },
    { ...trackMessage("m4"), context: { ip: mark(), page: { url: `https://${mark()}.example/` } } }
  ]
}

/** Messages that are refused. MongoDB refuses the last one's customer. */
const refusedEvents = (world: World, lastName: string): ReadonlyArray<unknown> => {
  const { mark } = world
  const identify = { type: "identify", messageId: "r", userId: mark(), timestamp }
  return [
    mark(),
    `{"type":"track","event":"${mark()}`,
    [mark()],
    { type: mark(), messageId: "r", [mark()]: mark() },
    { ...trackMessage(`${mark()} x`), event: mark() },
    { ...trackMessage("r"), event: [mark()], timestamp: mark() },
    { ...identify, traits: { ...full(world), email: mark() } },
    { ...identify, traits: { ...full(world), [mark()]: mark() } },
    new TextEncoder().encode(mark()),
    { ...identify, traits: { ...full(world), lastName } }
  ]
}

/** Handshakes that are refused, and a message that is too large. */
const brokenSockets = (world: World, base: string) =>
  Effect.promise(async () => {
    const { mark } = world
    for (const query of ["", `?session_id=${mark()}%20`, `?${mark()}=${mark()}`]) {
      const refused = new WebSocket(`${base}/websocket${query}`, [mark()])
      await new Promise((resolve) => refused.addEventListener("error", resolve))
    }
    const large = await openSession(base, "large")
    large.send({ ...trackMessage("m"), event: mark().repeat(10_000) })
    expect(await large.closed).toMatchObject({ code: 1009 })
  })

/** A message of a session that is none, but has come into the outbox, and so to Kafka. */
const insertStranger = ({ db, mark }: World) =>
  Effect.promise(() =>
    db.collection("outbox").insertOne({
      _id: "stranger" as never,
      slot: Slot.ofKey("session/stranger"),
      key: "session/stranger",
      sequence: 1,
      ordinal: 0,
      topic: "session-events",
      payload: JSON.stringify({ name: mark(), type: mark() }),
      headers: { session_id: "stranger", request_id: "of-stranger" },
      createdAt: new Date(),
      state: "ready"
    })
  )

/** The texts of the lines of a request, from all who had to do with it. */
const linesOf = ({ call }: World, session: string, request: string) =>
  Effect.map(call("GET", `/admin/logs?session_id=${session}&request_id=${request}`), ({ body }) =>
    (body as { readonly items: ReadonlyArray<{ readonly message: string }> }).items.map(
      ({ message }) => message
    )
  )

describeKafka("Events of sessions", () => {
  it.scopedLive(
    "are followed by their ids from socket to consumer, and what they tell is in no log and no metrics",
    () =>
      Effect.gen(function* () {
        const { brokers } = yield* testKafka
        const world = yield* startWorld("json", "ingest,relay,consumer,api", {
          KAFKA: "on",
          KAFKA_BROKERS: brokers
        })
        const { app, base, call, db, markers, mark } = world
        const socketBase = base.replace("http", "ws")
        const session = `s-${globalThis.crypto.randomUUID()}`
        const lastName = mark()
        yield* refuseCustomers(db, lastName)

        const client = yield* Effect.promise(() => openSession(socketBase, session))
        const [taken, refused] = [takenEvents(world), refusedEvents(world, lastName)]
        for (const event of [...taken, ...refused]) client.send(event)
        const replies = yield* Effect.promise(() => client.received(taken.length + refused.length))
        expect(replies.map(({ type }) => type)).toEqual([
          ...taken.map(() => "ack"),
          ...refused.map(() => "error")
        ])
        yield* brokenSockets(world, socketBase)

        for (const { requestId = "" } of replies.slice(0, taken.length)) {
          const lines = yield* until(linesOf(world, session, requestId), (found) =>
            found.includes("event applied")
          )
          // A transaction that met another is run again, and logs again.
          expect(new Set(lines)).toEqual(new Set(["message answered", "event applied"]))
        }
        yield* insertStranger(world)
        yield* Effect.promise(() => app.waitFor(/a record became a dead letter/))

        const metrics = (yield* call("GET", "/metrics")).text
        yield* endOf(app)
        const lines = yield* stored(db)
        for (const [place, text] of Object.entries({ metrics, lines, output: app.output })) {
          expect([place, markers.in(text)]).toEqual([place, []])
          expect([place, text.length]).toEqual([place, expect.not.toBeOneOf([0, 2])])
        }
        // What was sent has been stored, and so could have been told.
        const events = yield* Effect.promise(() => db.collection("session_events").countDocuments())
        expect(events).toBe(taken.length)
      }),
    120_000
  )
})
