import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { type Reply, SharedApi, sharedApi } from "./apiServer.ts"
import { full, short } from "./sampleCustomers.ts"

interface Resource {
  readonly uid: string
  readonly version: number
}

const resource = ({ body }: Reply) => body as Resource

layer(sharedApi(), { excludeTestServices: true })("What v1 adds", (it) => {
  const make = (body: object, headers = {}) =>
    Effect.flatMap(SharedApi, ({ call }) => call("POST", "/v1/customer", { body, headers }))

  it.effect("each change is a version, and a patch that changes nothing is none", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      const { uid, version } = resource(yield* make(short))
      expect(version).toBe(1)
      const path = `/v1/customer/${uid}`
      expect(resource(yield* call("PUT", path, { body: full })).version).toBe(2)
      expect(resource(yield* call("PATCH", path, { body: { lastName: "Lovelace" } })).version).toBe(3)
      const same = yield* call("PATCH", path, { body: { lastName: "Lovelace" } })
      expect([resource(same).version, same.headers.get("etag")]).toEqual([3, '"3"'])
    })
  )

  it.effect("of writers with the same If-Match one writes, and the others get 412", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      const { uid } = resource(yield* make(short))
      const replies = yield* Effect.forEach(
        Array.from({ length: 8 }, (_, n) => `${n}`),
        (address) =>
          call("PATCH", `/v1/customer/${uid}`, { body: { address }, headers: { "if-match": '"1"' } }),
        { concurrency: "unbounded" }
      )
      expect(replies.map(({ status }) => status).toSorted()).toEqual([200, ...Array(7).fill(412)])
    })
  )

  it.effect("a read is 304 for who has this version", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      const { uid } = resource(yield* make(short))
      for (const [tags, status] of [
        ['"1"', 304],
        ['W/"1"', 304],
        ['"7", "1"', 304],
        ["*", 304],
        ['"2"', 200],
        ['"01"', 200]
      ] as const) {
        const reply = yield* call("GET", `/v1/customer/${uid}`, { headers: { "if-none-match": tags } })
        expect([tags, reply.status, reply.headers.get("etag")]).toEqual([tags, status, '"1"'])
        if (status === 304) expect(reply.text).toBe("")
      }
    })
  )

  it.effect("the twin has pseudonyms in the place of personal data, and the same version", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      const pseudonym: unknown = expect.stringMatching(/^[0-9A-Za-z]{8}$/)
      const { uid } = resource(yield* make(full))
      const twin = yield* call("GET", `/v1/customers/${uid}/twin`)
      expect([twin.status, twin.headers.get("etag")]).toEqual([200, '"1"'])
      expect(twin.body).toEqual({
        uid,
        version: 1,
        firstName: pseudonym,
        lastName: pseudonym,
        email: expect.stringMatching(/^[0-9A-Za-z]{8}@example\.com$/),
        address: {
          ...full.address,
          line1: pseudonym,
          line2: (twin.body as typeof full).address.line2,
          postcode: pseudonym
        },
        createdAt: full.createdAt
      })
      const other = resource(yield* make(short)).uid
      const shortTwin = yield* call("GET", `/v1/customers/${other}/twin`)
      expect(shortTwin.body).toEqual({ uid: other, version: 1, name: pseudonym, address: pseudonym })
      expect((yield* call("GET", "/v1/customers/none/twin")).status).toBe(404)
      expect((yield* call("GET", "/v1/customers/%00/twin")).status).toBe(400)
    })
  )

  it.effect("an idempotency key is kept for a day with nothing personal, and goes with its transaction", () =>
    Effect.gen(function* () {
      const { customers, db } = yield* SharedApi
      const { uid } = resource(yield* make(full, { "idempotency-key": "my-own-key" }))
      const keys = db.collection("idempotency_keys")
      const [record, ...others] = yield* Effect.promise(() => keys.find({ uid }).toArray())
      expect(others).toEqual([])
      expect(Object.keys(record ?? {}).toSorted()).toEqual([
        "_id",
        "createdAt",
        "digest",
        "expireAt",
        "uid",
        "version"
      ])
      expect(JSON.stringify(record)).not.toMatch(/my-own-key|Ada|King|example/)
      const day = 24 * 60 * 60 * 1_000
      expect(record?.["expireAt"] - record?.["createdAt"]).toBe(day)
      const indexes = yield* Effect.promise(() => keys.indexes())
      expect(indexes).toContainEqual(expect.objectContaining({ key: { expireAt: 1 }, expireAfterSeconds: 0 }))
      yield* customers.delete(uid)
      const again = yield* make(full, { "idempotency-key": "my-own-key" })
      expect([again.status, again.body]).toEqual([201, { uid, version: 1, ...full }])
    })
  )

  it.effect("the messages of a write belong to the trace of its request", () =>
    Effect.gen(function* () {
      const { db } = yield* SharedApi
      const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
      const { uid } = resource(yield* make(short, { traceparent: `00-${traceId}-00f067aa0ba902b7-01` }))
      const messages = yield* Effect.promise(() =>
        db
          .collection("outbox")
          .find({ key: `customer/${uid}` })
          .toArray()
      )
      expect(messages.length).toBeGreaterThan(0)
      for (const { headers } of messages) expect(headers.traceparent).toMatch(new RegExp(`^00-${traceId}-`))
    })
  )

  it.effect("customers are found by e-mail over an index", () =>
    Effect.gen(function* () {
      const { db } = yield* SharedApi
      const plan = yield* Effect.promise(() =>
        db
          .collection<{ _id: string }>("customers")
          .find({ _id: { $gt: "" }, email: "ada@example.com" })
          .sort({ _id: 1 })
          .explain("queryPlanner")
      )
      const text = JSON.stringify(plan)
      expect(text).toContain('"indexName":"email"')
      expect(text).not.toContain('"stage":"SORT"')
    })
  )
})

layer(sharedApi(), { excludeTestServices: true })("What v2 adds", (it) => {
  it.effect("what MongoDB has not decided on says so, and is never taken for unchanged", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      const made = yield* call("POST", "/v2/customer", { body: short })
      const path = `/v2/customer/${resource(made).uid}`
      const pending = made.headers.get("x-pending") ?? ""
      expect(pending).toMatch(/^\d+-\d+$/)
      const read = yield* call("GET", path, { headers: { "if-none-match": '"0"' } })
      expect([read.status, read.headers.get("x-pending"), read.headers.get("etag")]).toEqual([
        200,
        pending,
        '"0"'
      ])
      const changed = yield* call("PATCH", path, { body: { address: "elsewhere" } })
      expect(changed.headers.get("x-pending")).not.toBe(pending)
      const deleted = yield* call("DELETE", path)
      expect(deleted.headers.get("x-pending")).toMatch(/^\d+-\d+$/)
    })
  )

  it.effect("refused writes are listed for admins; unknown and malformed positions are told apart", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      expect((yield* call("GET", "/v2/refused")).body).toEqual({ items: [], next: null })
      expect((yield* call("DELETE", "/v2/refused/1-1")).status).toBe(404)
      expect((yield* call("POST", "/v2/refused/1-1/requeue")).status).toBe(404)
      for (const position of ["7", "-", "+", "1-1-1", "%00"]) {
        const reply = yield* call("DELETE", `/v2/refused/${position}`)
        expect(reply.body).toMatchObject({ status: 400, errors: [{ path: "position" }] })
      }
      expect((yield* call("GET", "/v2/refused?before=x")).body).toMatchObject({
        errors: [{ path: "before" }]
      })
    })
  )
})
