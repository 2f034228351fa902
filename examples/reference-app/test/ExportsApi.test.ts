import { gunzipSync } from "node:zlib"
import { describe, expect, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import type { ExportResource } from "../src/ExportResource.ts"
import { type Api, type Reply, SharedApi, sharedApi, startApi } from "./apiServer.ts"
import { full, short } from "./sampleCustomers.ts"

const tokenOf = (user: string): string => `${user}-token-0123456789`

const tokens = JSON.stringify(
  Object.fromEntries(
    Object.entries({
      ann: ["exports:start:anonymized", "customers:write"],
      ben: ["exports:start:anonymized"],
      ori: ["exports:start:anonymized", "exports:start:original"],
      root: ["admin"],
      none: ["customers:read"]
    }).map(([user, permissions]) => [tokenOf(user), { user, permissions }])
  )
)

const as = (user: string, headers: Readonly<Record<string, string>> = {}) => ({
  headers: { authorization: `Bearer ${tokenOf(user)}`, ...headers }
})

const exportOf = ({ body }: Pick<Reply, "body">) => body as ExportResource

const post = ({ call }: Api, user: string, body: unknown) => call("POST", "/exports", { ...as(user), body })

const start = (api: Api, user: string, body: unknown) =>
  Effect.map(post(api, user, body), (reply) => {
    expect([reply.status, reply.text]).toEqual([202, reply.text])
    expect(reply.headers.get("location")).toBe(`/exports/${exportOf(reply).id}`)
    return exportOf(reply).id
  })

const status = ({ call }: Api, user: string, id: string) => call("GET", `/exports/${id}`, as(user))

const hasEnded = ({ state }: ExportResource): boolean => !["CREATED", "PENDING"].includes(state)

const until = (api: Api, user: string, id: string, isSo: (found: ExportResource) => boolean) =>
  Effect.repeat(Effect.delay(status(api, user, id), "20 millis"), {
    until: (reply) => isSo(exportOf(reply))
  }).pipe(Effect.timeout("20 seconds"))

const completed = (api: Api, user: string, body: unknown) =>
  Effect.gen(function* () {
    const id = yield* start(api, user, body)
    const found = exportOf(yield* until(api, user, id, hasEnded))
    expect(found.state).toBe("COMPLETED")
    return found
  })

/** The data as bytes, past what decodes it. */
const download = ({ base }: Api, user: string, id: string, headers = {}, method = "GET") =>
  Effect.promise(async (signal) => {
    const response = await fetch(`${base}/exports/${id}/data`, { method, signal, ...as(user, headers) })
    return {
      status: response.status,
      headers: response.headers,
      bytes: Buffer.from(await response.arrayBuffer())
    }
  })

const stop = ({ call }: Api, user: string, id: string) => call("DELETE", `/exports/${id}`, as(user))

const customers = ({ call }: Api, ...bodies: ReadonlyArray<object>) =>
  Effect.forEach(bodies, (body) => call("POST", "/v1/customer", { ...as("ann"), body }))

const twins = ({ db }: Api) =>
  Effect.promise(() => db.collection("customers_anonymised").find().sort({ _id: 1 }).toArray())

const linesOf = (bytes: Buffer): ReadonlyArray<Readonly<Record<string, unknown>>> =>
  String(bytes)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)

const byId = (one: { readonly _id?: unknown }, other: { readonly _id?: unknown }): number =>
  String(one._id) < String(other._id) ? -1 : 1

const auditOf = ({ db }: Api, filter: object) =>
  Effect.promise(() => db.collection("export_audit").find(filter).sort({ _id: 1 }).toArray())

const problem = (kind: string) => ({ type: `urn:twinbox:problem:${kind}` })

layer(sharedApi({ tokens }), { excludeTestServices: true })("/exports", (it) => {
  it.effect("exports the twins that there are, with what is theirs and nothing else, and its checksum", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      yield* customers(api, full, short)
      const found = yield* completed(api, "ann", {})
      expect(found).toMatchObject({
        view: "anonymized",
        format: "ndjson",
        gzip: false,
        live: false,
        percent: 100
      })
      const left = Date.parse(found.expiresAt) - Date.parse(found.endedAt ?? "")
      expect(Math.abs(left - 3_600_000)).toBeLessThan(5_000)
      const data = yield* download(api, "ann", found.id)
      expect(data.bytes.length).toBe(found.bytes)
      const expected = (yield* twins(api)).map(({ fingerprint, keyVersion, ...twin }) => ({
        ...twin,
        deleted: false
      }))
      expect(linesOf(data.bytes).toSorted(byId)).toEqual(
        (JSON.parse(JSON.stringify(expected)) as typeof expected).toSorted(byId)
      )
      expect(String(data.bytes)).not.toContain("ada@")
      expect(data.status).toBe(200)
      const digest = yield* Effect.promise(() => crypto.subtle.digest("SHA-256", data.bytes))
      expect(found.sha256).toBe(Buffer.from(digest).toString("hex"))
      expect(Object.fromEntries(data.headers)).toMatchObject({
        "content-type": "application/x-ndjson",
        "content-length": String(found.bytes),
        "content-disposition": `attachment; filename="${found.id}.ndjson"`,
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "x-export-state": "COMPLETED",
        etag: `"${found.id}-${found.bytes}"`,
        "repr-digest": `sha-256=:${Buffer.from(digest).toString("base64")}:`
      })
    })
  )

  it.effect("exports originals as CSV with chosen columns, as a gzip file", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      yield* customers(api, full)
      const body = {
        view: "original",
        format: "csv",
        columns: ["email", "address.city", "address"],
        gzip: true
      }
      const { id } = yield* completed(api, "ori", body)
      const { bytes, headers } = yield* download(api, "ori", id)
      expect(headers.get("content-type")).toBe("application/gzip")
      expect(headers.get("content-encoding")).toBe(null)
      expect(headers.get("content-disposition")).toContain(`${id}.csv.gz`)
      const text = String(gunzipSync(bytes))
      expect(text).toMatch(/^email,address.city,address\r\n/)
      expect(text).toContain("ada@example.com,London,")
    })
  )

  it.effect(
    "notes who started and downloaded what, how much it was, and who was refused, without any values",
    () =>
      Effect.gen(function* () {
        const api = yield* SharedApi
        yield* customers(api, full)
        const { bytes, id, records } = yield* completed(api, "ori", { view: "original" })
        const noted = (count: number) =>
          Effect.repeat(Effect.delay(auditOf(api, { exportId: id }), "20 millis"), {
            until: ({ length }) => length >= count
          }).pipe(Effect.timeout("10 seconds"))
        // The end is noted just after it has come.
        yield* noted(2)
        yield* download(api, "ori", id)
        expect((yield* post(api, "ben", { view: "original" })).status).toBe(403)
        const entries = yield* noted(4)
        expect(entries).toMatchObject([
          { event: "Started", who: "ori", view: "original" },
          { event: "Ended", who: "ori", state: "COMPLETED", rows: records, bytes },
          { event: "DownloadStarted", who: "ori", view: "original" },
          { event: "DownloadEnded", who: "ori", bytes }
        ])
        expect(entries.every(({ when }) => when instanceof Date)).toBe(true)
        expect(yield* auditOf(api, { event: "Refused" })).toMatchObject([{ who: "ben", view: "original" }])
        expect(JSON.stringify(yield* auditOf(api, {}))).not.toMatch(/ada|King|London/)
        expect(api.logs.join("")).not.toMatch(/ada@|London/)
      })
  )

  it.effect("starts and hands out either view only with its permission", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      for (const [who, view] of [
        ["ann", "original"],
        ["none", "anonymized"],
        ["root", "anonymized"]
      ] as const) {
        const refused = yield* post(api, who, { view })
        expect([refused.status, refused.body]).toMatchObject([403, problem("forbidden")])
        expect(refused.headers.get("www-authenticate")).toContain(`scope="exports:start:${view}"`)
      }
      const { id } = yield* completed(api, "ori", { view: "original" })
      expect((yield* status(api, "root", id)).status).toBe(200)
      const refused = yield* api.call("GET", `/exports/${id}/data`, as("root"))
      expect([refused.status, refused.body]).toMatchObject([403, problem("forbidden")])
      expect((yield* api.call("POST", "/exports", { body: {} })).status).toBe(401)
    })
  )

  it.effect("hides exports of others, and ids that are none, behind the same 404", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      const { id } = yield* completed(api, "ann", {})
      for (const name of [id, "00000000-0000-4000-8000-000000000000", "exports", "a%00b", "%7Bid%7D"]) {
        for (const [method, path] of [
          ["GET", ""],
          ["DELETE", ""],
          ["POST", "/finish"],
          ["GET", "/data"]
        ] as const) {
          const reply = yield* api.call(method, `/exports/${name}${path}`, as("ben"))
          expect([name, method, path, reply.status, reply.body]).toMatchObject([
            name,
            method,
            path,
            404,
            { ...problem("not-found"), detail: "There is no such export, or no longer." }
          ])
        }
      }
      const listed = (user: string) =>
        Effect.map(api.call("GET", "/exports", as(user)), ({ body }) =>
          (body as { readonly items: ReadonlyArray<ExportResource> }).items.map((one) => one.id)
        )
      expect(yield* listed("ann")).toContain(id)
      expect(yield* listed("ben")).toEqual([])
      expect(yield* listed("root")).toContain(id)
    })
  )

  it.effect("shows how far an export is while it runs, streams it, and cuts that when it is stopped", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      yield* customers(api, full, short)
      const count = (yield* twins(api)).length
      const id = yield* start(api, "ann", { mode: "snapshot+live" })
      const running = yield* until(api, "ann", id, ({ records }) => records >= count)
      const { bytes, records } = exportOf(running)
      expect(exportOf(running)).toMatchObject({ state: "PENDING", live: true, endedAt: null })
      expect(running.headers.get("retry-after")).toBe("1")
      expect(running.headers.get("x-progress")).toBe(`percent=99, records=${records}, bytes=${bytes}`)

      const following = yield* Effect.promise(() => fetch(`${api.base}/exports/${id}/data`, as("ann")))
      expect([following.status, following.headers.get("x-export-state")]).toEqual([200, "PENDING"])
      expect(following.headers.get("content-length")).toBe(null)
      const reader = following.body?.getReader()
      const first = yield* Effect.promise(async () => reader?.read())
      expect(first?.value?.length).toBe(bytes)
      const rest = Effect.promise(async () => reader?.read()).pipe(
        Effect.exit,
        Effect.map(({ _tag }) => _tag)
      )

      const stopped = yield* stop(api, "ann", id)
      expect([stopped.status, exportOf(stopped).state]).toEqual([200, "CANCELLED"])
      expect(stopped.headers.get("retry-after")).toBe(null)
      // Not the end of the answer: what looks whole would be taken for it.
      expect(yield* rest).toBe("Failure")
      for (const again of [
        yield* stop(api, "ann", id),
        yield* api.call("POST", `/exports/${id}/finish`, as("ann"))
      ]) {
        expect([again.status, again.body]).toMatchObject([
          409,
          { ...problem("export-ended"), state: "CANCELLED" }
        ])
      }
      expect(api.logs.join("\n")).not.toContain("ERROR")
      const part = yield* download(api, "ann", id)
      expect([part.status, part.headers.get("x-export-state"), part.bytes.length]).toEqual([
        200,
        "CANCELLED",
        bytes
      ])
      expect(part.headers.get("repr-digest")).toBe(null)
      expect(yield* auditOf(api, { exportId: id, event: "Stopped" })).toMatchObject([
        { who: "ann", rows: records }
      ])
    })
  )

  it.effect("lets a live export come to its end, and whoever follows it to the end of the answer", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      yield* customers(api, short)
      const id = yield* start(api, "ann", { mode: "snapshot+live", format: "csv", columns: ["name"] })
      yield* until(api, "ann", id, ({ records }) => records > 0)
      const [followed, finished] = yield* Effect.all(
        [
          download(api, "ann", id),
          Effect.delay(api.call("POST", `/exports/${id}/finish`, as("ann")), "100 millis")
        ],
        { concurrency: 2 }
      )
      expect([finished.status, exportOf(finished).state]).toEqual([200, "COMPLETED"])
      expect(followed.bytes).toEqual((yield* download(api, "ann", id)).bytes)
      expect(String(followed.bytes)).toMatch(/^_id,version,deleted,name\r\n/)
      expect(yield* auditOf(api, { exportId: id, event: "Finished" })).toMatchObject([{ who: "ann" }])
    })
  )

  it.effect("gives ranges of what is stored, and of a running export of what there is by now", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      yield* customers(api, full)
      const { bytes: size, id } = yield* completed(api, "ann", {})
      const whole = (yield* download(api, "ann", id)).bytes
      const last = size - 1
      const tag = `"${id}-${size}"`
      for (const [headers, from, to] of [
        [{ range: "bytes=0-0" }, 0, 0],
        [{ range: "bytes=5-9" }, 5, 9],
        [{ range: "bytes=7-" }, 7, last],
        [{ range: `bytes=7-${size + 100}` }, 7, last],
        [{ range: "bytes=-4" }, size - 4, last],
        [{ range: "bytes=-999999999" }, 0, last],
        [{ range: "bytes=5-9", "if-range": tag }, 5, 9]
      ] as const) {
        const part = yield* download(api, "ann", id, headers)
        expect([headers, part.status, part.headers.get("content-range")]).toEqual([
          headers,
          206,
          `bytes ${from}-${to}/${size}`
        ])
        expect(part.headers.get("content-length")).toBe(String(to - from + 1))
        expect(part.bytes).toEqual(whole.subarray(from, to + 1))
      }
      for (const headers of [
        { range: "bytes=9-5" },
        { range: "bytes=0-1,4-5" },
        { range: "lines=0-1" },
        { range: "bytes=-" },
        { range: "bytes=5-9", "if-range": '"other"' }
      ]) {
        const ignored = yield* download(api, "ann", id, headers)
        expect([headers, ignored.status, ignored.bytes.length]).toEqual([headers, 200, size])
      }
      for (const range of [`bytes=${size}-`, `bytes=${size + 5}-${size + 9}`, "bytes=-0"]) {
        const refused = yield* api.call("GET", `/exports/${id}/data`, as("ann", { range }))
        expect([range, refused.status, refused.headers.get("content-range")]).toEqual([
          range,
          416,
          `bytes */${size}`
        ])
        expect(refused.body).toMatchObject(problem("range-not-satisfiable"))
      }
      for (const header of [tag, `"other", W/${tag}`, "*"]) {
        expect((yield* download(api, "ann", id, { "if-none-match": header })).status).toBe(304)
      }
      const before = (yield* auditOf(api, { exportId: id })).length
      const head = yield* download(api, "ann", id, {}, "HEAD")
      expect([head.status, head.headers.get("content-length"), head.bytes.length]).toEqual([
        200,
        String(size),
        0
      ])
      expect(yield* auditOf(api, { exportId: id })).toHaveLength(before)

      const live = yield* start(api, "ann", { mode: "snapshot+live" })
      const count = (yield* twins(api)).length
      const { bytes: now } = exportOf(yield* until(api, "ann", live, ({ records }) => records >= count))
      const part = yield* download(api, "ann", live, { range: "bytes=10-" })
      expect([part.status, part.headers.get("content-range"), part.headers.get("etag")]).toEqual([
        206,
        `bytes 10-${now - 1}/*`,
        null
      ])
      expect(part.bytes.length).toBe(now - 10)
      yield* stop(api, "ann", live)
    })
  )

  it.effect("refuses what it does not understand, says where, and repeats no value", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      for (const [body, path, words] of [
        [{ view: "secret" }, "view", "must be one of anonymized, original"],
        [{ mode: "secret" }, "mode", "must be one of snapshot, snapshot+live, live"],
        [{ format: "xlsx" }, "format", "must be one of ndjson, csv"],
        [{ format: "csv" }, "columns", "is missing: csv needs it"],
        [{ columns: [] }, "columns", "must have a member at least"],
        [{ columns: ["name", "name"] }, "columns", "must not have a member twice"],
        [{ columns: ["keyVersion"] }, "columns.0", expect.stringContaining("must be one of _id, ")],
        [{ gzip: "secret" }, "gzip", "has the wrong type"],
        [{ vew: "original" }, "vew", "is not known here"],
        [[], "", "has the wrong type"]
      ] as const) {
        const reply = yield* post(api, "ann", body)
        expect([body, reply.status, reply.body]).toMatchObject([
          body,
          400,
          { ...problem("invalid-request"), errors: [{ path, problem: words }] }
        ])
        expect(reply.text).not.toContain("secret")
      }
      expect((yield* post(api, "ann", "{")).status).toBe(400)
      expect((yield* post(api, "ann", "x".repeat(70_000))).status).toBe(413)
      const other = as("ann", { "content-type": "text/plain" })
      expect((yield* api.call("POST", "/exports", { ...other, body: "{}" })).status).toBe(415)
      expect((yield* api.call("PUT", "/exports", { ...as("ann"), body: {} })).status).toBe(405)
    })
  )

  it.effect("lets so many exports of a user run, and one more when one has ended", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      const ids = yield* Effect.forEach([1, 2, 3], () => start(api, "ben", { mode: "live" }))
      const refused = yield* post(api, "ben", {})
      expect([refused.status, refused.headers.get("retry-after"), refused.body]).toMatchObject([
        429,
        "5",
        problem("too-many-exports")
      ])
      yield* stop(api, "ben", ids[0] ?? "")
      ids.push(yield* start(api, "ben", { mode: "live" }))
      yield* Effect.forEach(ids.slice(1), (id) => stop(api, "ben", id))
    })
  )

  it.effect("is described, with its parameters and all that it may answer", () =>
    Effect.gen(function* () {
      const { body } = yield* (yield* SharedApi).call("GET", "/openapi.json")
      const { paths } = body as {
        readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly responses: object }>>>>
      }
      const statuses = (path: string, method: string) => Object.keys(paths[path]?.[method]?.responses ?? {})
      const usual = ["401", "403", "500", "503"]
      for (const [path, method, own] of [
        ["/exports", "post", ["202", "400", "413", "415", "429"]],
        ["/exports", "get", ["200"]],
        ["/exports/{id}", "get", ["200", "400", "404"]],
        ["/exports/{id}", "delete", ["200", "400", "404", "409"]],
        ["/exports/{id}/finish", "post", ["200", "202", "400", "404", "409"]],
        ["/exports/{id}/data", "get", ["200", "206", "400", "404", "416"]]
      ] as const) {
        expect([path, method, statuses(path, method).toSorted()]).toEqual([
          path,
          method,
          [...own, ...usual].toSorted()
        ])
      }
    })
  )
})

describe("/exports", () => {
  it.scopedLive("is 503 in a process without Redis", () =>
    Effect.gen(function* () {
      const api = yield* startApi({ tokens, redisUrl: null })
      for (const reply of [yield* post(api, "ann", {}), yield* status(api, "ann", "x")]) {
        expect([reply.status, reply.body]).toMatchObject([503, problem("unavailable")])
      }
    })
  )

  it.scopedLive("follows no originals where they are published nowhere", () =>
    Effect.gen(function* () {
      const api = yield* startApi({ tokens, twoWay: false })
      const refused = yield* post(api, "ori", { view: "original", mode: "live" })
      expect([refused.status, refused.body]).toMatchObject([400, { errors: [{ path: "mode" }] }])
      expect((yield* post(api, "ori", { view: "original" })).status).toBe(202)
    })
  )
})
