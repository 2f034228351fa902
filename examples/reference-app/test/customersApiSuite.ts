import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { type Api, type Call, type Reply, SharedApi, sharedApi, startApi } from "./apiServer.ts"
import { full, short } from "./sampleCustomers.ts"

interface Resource {
  readonly uid: string
  readonly version: number
  readonly [field: string]: unknown
}

interface Page {
  readonly items: ReadonlyArray<Resource>
  readonly next: string | null
}

const resource = ({ body }: { readonly body: unknown }) => body as Resource

const etag = ({ headers }: Reply): string => headers.get("etag") ?? ""

/** Headers for a request that depends on a version. */
const ifMatch = (tags: string): Pick<Call, "headers"> => ({ headers: { "if-match": tags } })

/** A version that no customer of a test gets to. */
const otherVersion = '"999"'

/** What the API does with customers, whichever store is behind it. */
export const customersApiSuite = (version: "v1" | "v2"): void => {
  const one = (uid: string): string => `/${version}/customer/${encodeURIComponent(uid)}`
  const all = `/${version}/customers`

  const make = (
    { call }: Api,
    body: object,
    headers = {}
  ): Effect.Effect<Resource & { readonly reply: Reply }> =>
    Effect.map(call("POST", `/${version}/customer`, { body, headers }), (reply) => {
      expect([reply.status, reply.text]).toEqual([201, reply.text])
      return { reply, ...resource(reply) }
    })

  const read = ({ call }: Api, uid: string) => call("GET", one(uid))

  layer(sharedApi(), { excludeTestServices: true })(`/${version}`, (it) => {
    it.effect.each([
      { form: "full", body: full },
      { form: "short", body: short }
    ])("answers a customer in the $form form as it was sent, with uid and version", ({ body }) =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        const made = yield* make(api, body)
        const { uid, version: shown } = made
        expect(resource(made.reply)).toEqual({ uid, version: shown, ...body })
        expect(made.reply.headers.get("location")).toBe(one(uid))
        expect(made.reply.headers.get("content-type")).toBe("application/json")
        expect(etag(made.reply)).toBe(`"${shown}"`)
        const got = yield* read(api, uid)
        expect([got.status, got.body, etag(got)]).toEqual([
          200,
          { uid, version: shown, ...body },
          `"${shown}"`
        ])
      })
    )

    it.effect("makes up when a customer in full was made, and shows moments in UTC", () =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        const { createdAt, ...rest } = full
        const before = Date.now()
        const made = yield* make(api, rest)
        const at = String(made["createdAt"])
        expect(new Date(at).toISOString()).toBe(at)
        expect(Date.parse(at)).toBeGreaterThanOrEqual(before)
        const zoned = yield* make(api, { ...rest, createdAt: "2026-05-01T14:00:00+02:00" })
        expect(zoned["createdAt"]).toBe(createdAt)
      })
    )

    it.effect("replaces all fields, also by those of the other form", () =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        const { uid } = yield* make(api, full)
        const replaced = yield* api.call("PUT", one(uid), { body: short })
        expect(replaced.status).toBe(200)
        expect(replaced.body).toEqual({ uid, version: resource(replaced).version, ...short })
        expect((yield* read(api, uid)).body).toEqual(replaced.body)
      })
    )

    it.effect("patches some fields, and leaves the others", () =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        const { uid } = yield* make(api, full)
        const patch = { email: "ada@example.org", address: { city: "Paris" } }
        const patched = yield* api.call("PATCH", one(uid), {
          body: patch,
          headers: { "content-type": "application/merge-patch+json" }
        })
        const expected = { ...full, email: "ada@example.org", address: { ...full.address, city: "Paris" } }
        expect(patched.status).toBe(200)
        expect(patched.body).toEqual({ uid, version: resource(patched).version, ...expected })
        expect((yield* read(api, uid)).body).toEqual(patched.body)
      })
    )

    it.effect("patches from one form to the other, and refuses what would be neither", () =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        const { uid, version: shown } = yield* make(api, short)
        const mixed = yield* api.call("PATCH", one(uid), { body: { firstName: "Ada" } })
        expect(mixed.status).toBe(400)
        expect(mixed.body).toMatchObject({ errors: [{ path: "firstName", problem: "is not known here" }] })
        const removed = yield* api.call("PATCH", one(uid), { body: { address: null } })
        expect(removed.body).toMatchObject({ errors: [{ path: "address", problem: "is missing" }] })
        expect((yield* read(api, uid)).body).toEqual({ uid, version: shown, ...short })
        const changed = yield* api.call("PATCH", one(uid), { body: { ...full, name: null } })
        expect(changed.body).toEqual({ uid, version: resource(changed).version, ...full })
      })
    )

    it.effect("keeps when a customer was made, unless a patch says otherwise", () =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        const { uid } = yield* make(api, full)
        const kept = yield* api.call("PATCH", one(uid), { body: { firstName: "Augusta" } })
        expect(resource(kept)["createdAt"]).toBe(full.createdAt)
        const without = yield* api.call("PATCH", one(uid), { body: { createdAt: null } })
        expect(without.body).toMatchObject({ errors: [{ path: "createdAt", problem: "is missing" }] })
      })
    )

    it.effect("deletes, and then answers 404 to everything", () =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        const { uid } = yield* make(api, short)
        const deleted = yield* api.call("DELETE", one(uid))
        expect([deleted.status, deleted.text]).toEqual([204, ""])
        for (const [method, body] of [
          ["GET", undefined],
          ["PUT", short],
          ["PATCH", { address: "elsewhere" }],
          ["DELETE", undefined]
        ] as const) {
          const reply = yield* api.call(method, one(uid), { body })
          expect([method, reply.status, reply.headers.get("content-type")]).toEqual([
            method,
            404,
            "application/problem+json"
          ])
        }
      })
    )

    it.effect("writes when If-Match names the version, and answers 412 when it does not", () =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        const { reply, uid } = yield* make(api, short)
        const change = { body: { address: "elsewhere" } }
        for (const tags of [otherVersion, `W/${etag(reply)}`, '"abc"', `${otherVersion}, "abc"`]) {
          for (const [method, body] of [
            ["PATCH", change.body],
            ["PUT", short],
            ["DELETE", undefined]
          ] as const) {
            const refused = yield* api.call(method, one(uid), { body, ...ifMatch(tags) })
            expect([tags, method, refused.status]).toEqual([tags, method, 412])
          }
        }
        expect((yield* read(api, uid)).body).toEqual(reply.body)

        const first = yield* api.call("PATCH", one(uid), { ...change, ...ifMatch(etag(reply)) })
        expect(first.status).toBe(200)
        const second = yield* api.call("PUT", one(uid), {
          body: short,
          ...ifMatch(`${otherVersion}, ${etag(first)}`)
        })
        expect(second.status).toBe(200)
        expect((yield* api.call("DELETE", one(uid), ifMatch("*"))).status).toBe(204)
        expect((yield* api.call("PUT", one(uid), { body: short, ...ifMatch("*") })).status).toBe(404)
      })
    )

    it.effect("does not write over what If-None-Match names", () =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        const { reply, uid } = yield* make(api, short)
        for (const tags of ["*", etag(reply), `W/${etag(reply)}`]) {
          const refused = yield* api.call("DELETE", one(uid), { headers: { "if-none-match": tags } })
          expect([tags, refused.status]).toEqual([tags, 412])
        }
        expect((yield* read(api, uid)).status).toBe(200)
      })
    )

    it.scoped("lists by rising ids, a page at a time, each customer once", () =>
      Effect.gen(function* () {
        const api = yield* startApi()
        const made = yield* Effect.forEach([1, 2, 3, 4, 5], (n) => make(api, { ...short, address: `${n}` }))
        const found: Array<Resource> = []
        let next: string | null = ""
        for (let pages = 1; next !== null; pages++) {
          const cursor: string = next === "" ? "" : `&cursor=${next}`
          const reply: Reply = yield* api.call("GET", `${all}?limit=2${cursor}`)
          expect(reply.status).toBe(200)
          const page = reply.body as Page
          found.push(...page.items)
          next = page.next
          expect(next === null).toBe(pages === 3)
        }
        expect(found.map(({ uid }) => uid)).toEqual(made.map(({ uid }) => uid).toSorted())
        expect(found).toContainEqual(resource(yield* read(api, made[0]?.uid ?? "")))
        expect((yield* api.call("GET", `${all}?limit=5`)).body).toEqual({ items: found, next: null })
      })
    )

    it.scoped("finds customers by exactly their e-mail, a page at a time", () =>
      Effect.gen(function* () {
        const api = yield* startApi()
        const email = "grace@example.com"
        const [first, second] = yield* Effect.all([
          make(api, { ...full, email }),
          make(api, { ...full, email })
        ])
        yield* make(api, full)
        yield* make(api, short)
        yield* make(api, { ...full, email: `x${email}` })
        const query = `${all}?email=${encodeURIComponent(email)}`
        const both = (yield* api.call("GET", query)).body as Page
        const uids = [first.uid, second.uid].toSorted()
        expect(both.items.map(({ uid }) => uid)).toEqual(uids)
        const page = (yield* api.call("GET", `${query}&limit=1`)).body as Page
        expect(page.items.map(({ uid }) => uid)).toEqual(uids.slice(0, 1))
        const rest = (yield* api.call("GET", `${query}&limit=1&cursor=${page.next}`)).body as Page
        expect(rest).toEqual({ items: both.items.slice(1), next: null })
        yield* api.call("PATCH", one(first.uid), { body: { email: "other@example.com" } })
        yield* api.call("DELETE", one(second.uid))
        expect((yield* api.call("GET", query)).body).toEqual({ items: [], next: null })
      })
    )

    it.scoped("makes one customer of an idempotency key, and answers it again", () =>
      Effect.gen(function* () {
        const api = yield* startApi()
        const { createdAt, ...rest } = full
        const key = { "idempotency-key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"' }
        const first = yield* make(api, rest, key)
        const replies = yield* Effect.all(
          Array.from({ length: 5 }, () => make(api, rest, key)),
          { concurrency: "unbounded" }
        )
        for (const { reply } of replies) {
          expect(reply.body).toEqual(first.reply.body)
          expect(reply.headers.get("location")).toBe(one(first.uid))
        }
        const other = yield* api.call("POST", `/${version}/customer`, { body: short, headers: key })
        expect([other.status, other.headers.get("content-type")]).toEqual([422, "application/problem+json"])
        const page = (yield* api.call("GET", all)).body as Page
        expect(page.items.map(({ uid }) => uid)).toEqual([first.uid])
        const fresh = yield* make(api, rest, { "idempotency-key": "another" })
        expect(fresh.uid).not.toBe(first.uid)
      })
    )

    it.scoped("makes one customer of an idempotency key that arrives many times at once", () =>
      Effect.gen(function* () {
        const api = yield* startApi()
        const key = { "idempotency-key": "at-once" }
        const made = yield* Effect.all(
          Array.from({ length: 16 }, () => make(api, short, key)),
          { concurrency: "unbounded" }
        )
        expect(new Set(made.map(({ uid }) => uid)).size).toBe(1)
        expect(((yield* api.call("GET", all)).body as Page).items).toHaveLength(1)
      })
    )

    it.scoped("keeps the idempotency keys of users apart", () =>
      Effect.gen(function* () {
        const permissions = ["customers:read", "customers:write"]
        const [ann, bob] = ["ann-token-0123456789", "bob-token-0123456789"]
        const tokens = JSON.stringify({
          [ann]: { user: "ann", permissions },
          [bob]: { user: "bob", permissions }
        })
        const api = yield* startApi({ tokens })
        const key = { "idempotency-key": "the-same" }
        const [first, second] = yield* Effect.all([
          make(api, short, { ...key, authorization: `Bearer ${ann}` }),
          make(api, full, { ...key, authorization: `Bearer ${bob}` })
        ])
        expect(first.uid).not.toBe(second.uid)
      })
    )

    it.effect("has ids of any text, encoded in paths and cursors", () =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        const missing = yield* api.call("GET", one("a/b ü?#".repeat(40)))
        expect(missing.status).toBe(404)
      })
    )

    it.effect("counts the writes of many at once, none lost", () =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        const { uid } = yield* make(api, full)
        const fields = ["line1", "line2", "postcode", "city", "state", "country"]
        const replies = yield* Effect.forEach(
          fields,
          (field) => api.call("PATCH", one(uid), { body: { address: { [field]: `new ${field}` } } }),
          { concurrency: "unbounded" }
        )
        expect(replies.map(({ status }) => status)).toEqual(fields.map(() => 200))
        const address = Object.fromEntries(fields.map((field) => [field, `new ${field}`]))
        expect(resource(yield* read(api, uid))["address"]).toEqual(address)
      })
    )
  })
}
