import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { type Api, type Call, type Reply, SharedApi, sharedApi } from "./apiServer.ts"
import { full, short } from "./sampleCustomers.ts"

/** Stands in all values that an answer or a log line might repeat. */
const mark = "Zq7Kp2Wv9Xb4"

const tokens = {
  writer: "writer-token-0123456789",
  reader: "reader-token-0123456789",
  wrong: `wrong-token-${mark}`
}

const apiTokens = JSON.stringify({
  [tokens.writer]: { user: "ann", permissions: ["customers:read", "customers:write"] },
  [tokens.reader]: { user: "bob", permissions: ["customers:read"] }
})

interface Case extends Call {
  readonly name: string
  readonly method?: string
  /** After `/v1` or `/v2`; `:uid` is the id of a customer. Default `/customer`. */
  readonly path?: string
  readonly status: number
  /** Where the errors are, in any order. */
  readonly paths?: ReadonlyArray<string>
}

const text = (length: number): string => mark.padEnd(length, "x")

const bodies: ReadonlyArray<Case> = [
  { name: "no JSON", body: `{"name": "${mark}`, status: 400 },
  { name: "no body", body: "", status: 400 },
  { name: "text after the JSON", body: `${JSON.stringify(short)} ${mark}`, status: 400 },
  {
    name: "JSON in another encoding",
    body: new Uint8Array([...Buffer.from('{"name":"'), 0xff, ...Buffer.from('","address":"x"}')]),
    status: 400
  },
  { name: "JSON that is nested deeply", body: "[".repeat(5_000) + "]".repeat(5_000), status: 400 },
  {
    name: "objects that are nested deeply",
    body: `${'{"address":'.repeat(3_000)}"${mark}"${"}".repeat(3_000)}`,
    status: 400
  },
  ...[null, [], [short], mark, 7, true].map((body) => ({
    name: `${JSON.stringify(body).slice(0, 8)} as a customer`,
    body: JSON.stringify(body),
    status: 400,
    paths: [""]
  })),
  { name: "wrong types, short", body: { name: 7, address: [mark] }, status: 400, paths: ["name", "address"] },
  {
    name: "wrong types, full",
    body: { ...full, firstName: null, email: { $ne: mark }, address: mark, createdAt: 1 },
    status: 400,
    paths: ["firstName", "email", "address", "createdAt"]
  },
  { name: "nothing", body: {}, status: 400, paths: ["firstName", "lastName", "email", "address"] },
  { name: "a missing field, short", body: { name: mark }, status: 400, paths: ["address"] },
  {
    name: "a missing field inside",
    body: { ...full, address: { ...full.address, city: undefined } },
    status: 400,
    paths: ["address.city"]
  },
  { name: "an unknown field, short", body: { ...short, extra: mark }, status: 400, paths: ["extra"] },
  { name: "an unknown field, full", body: { ...full, phone: mark }, status: 400, paths: ["phone"] },
  {
    name: "an unknown field inside",
    body: { ...full, address: { ...full.address, planet: mark } },
    status: 400,
    paths: ["address.planet"]
  },
  {
    name: "fields of both forms",
    body: { ...full, ...short },
    status: 400,
    paths: Object.keys(full).filter((it) => it !== "address")
  },
  {
    name: "the fields of the repository",
    body: { ...short, _id: mark, version: 7, uid: mark },
    status: 400,
    paths: ["_id", "version", "uid"]
  },
  ...[`$${mark}`, "$set", "a.b", "", "\0", "\ud800", "a b"].map((key) => ({
    name: `the key ${JSON.stringify(key)}`,
    body: { ...short, [key]: mark },
    status: 400,
    paths: ["(a name that is not repeated)"]
  })),
  {
    name: "a key with $ inside",
    body: { ...full, address: { ...full.address, $where: mark } },
    status: 400,
    paths: ["address.(a name that is not repeated)"]
  },
  {
    name: "__proto__",
    body: `{"__proto__":{"name":"${mark}"},"name":"x","address":"y"}`,
    status: 400,
    paths: ["__proto__"]
  },
  { name: "NUL, short", body: { ...short, name: `${mark}\0` }, status: 400, paths: ["name"] },
  {
    name: "NUL, full",
    body: { ...full, address: { ...full.address, line2: "\0" } },
    status: 400,
    paths: ["address.line2"]
  },
  { name: "NUL in an e-mail", body: { ...full, email: `a\0@${mark}.com` }, status: 400, paths: ["email"] },
  { name: "a lone surrogate", body: `{"name":"${mark}\\ud800","address":"x"}`, status: 400, paths: ["name"] },
  {
    name: "a lone surrogate inside",
    body: { ...full, address: { ...full.address, city: `${mark}\udc00` } },
    status: 400,
    paths: ["address.city"]
  },
  { name: "empty text", body: { name: "", address: "" }, status: 400, paths: ["name", "address"] },
  {
    name: "long text, short",
    body: { name: text(201), address: text(501) },
    status: 400,
    paths: ["name", "address"]
  },
  {
    name: "long text, full",
    body: {
      ...full,
      firstName: text(101),
      lastName: text(101),
      email: `${text(250)}@x.com`,
      address: {
        line1: text(201),
        line2: text(201),
        postcode: text(21),
        city: text(101),
        state: text(101),
        country: text(101)
      }
    },
    status: 400,
    paths: ["firstName", "lastName", "email", ...Object.keys(full.address).map((field) => `address.${field}`)]
  },
  ...[
    "",
    mark,
    `${mark}@`,
    "@example.com",
    "a b@example.com",
    `a@${mark}`,
    "a@b@example.com",
    "a@example..com"
  ].map((email) => ({
    name: `the e-mail ${JSON.stringify(email)}`,
    body: { ...full, email },
    status: 400,
    paths: ["email"]
  })),
  ...[
    "",
    mark,
    "2026-05-01",
    "2026-02-30T00:00:00Z",
    "2026-05-01T25:00:00Z",
    "2026-05-01T12:00:00",
    "1",
    "0000-00-00T00:00:00Z"
  ].map((createdAt) => ({
    name: `createdAt ${JSON.stringify(createdAt)}`,
    body: { ...full, createdAt },
    status: 400,
    paths: ["createdAt"]
  })),
  { name: "more than 64 KiB", body: { ...short, address: text(65_536) }, status: 413 },
  ...[
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/xml",
    "application/json; charset=latin1",
    "json",
    "multipart/form-data"
  ].map((type) => ({
    name: `the type ${type}`,
    body: JSON.stringify(short),
    headers: { "content-type": type },
    status: 415
  })),
  { name: "no type", body: Buffer.from(JSON.stringify(short)), headers: { "content-type": "" }, status: 415 },
  {
    name: "a content encoding",
    body: JSON.stringify(short),
    headers: { "content-encoding": "gzip" },
    status: 415
  }
]

/** All that is no body of POST is none of PUT either. */
const replacements: ReadonlyArray<Case> = bodies.map((it) => ({
  ...it,
  method: "PUT",
  path: "/customer/:uid"
}))

const patches: ReadonlyArray<Case> = (
  [
    { name: "no JSON", body: mark, status: 400 },
    { name: "null", body: "null", status: 400, paths: [""] },
    { name: "a list", body: [mark], status: 400, paths: [""] },
    {
      name: "a JSON Patch",
      body: [{ op: "remove", path: "/name" }],
      headers: { "content-type": "application/json-patch+json" },
      status: 415
    },
    { name: "text", body: JSON.stringify(mark), status: 400, paths: [""] },
    {
      name: "a removed field",
      body: { name: null },
      status: 400,
      paths: ["firstName", "lastName", "email", "address", "createdAt"]
    },
    {
      name: "an operator",
      body: { $set: { name: mark } },
      status: 400,
      paths: ["(a name that is not repeated)"]
    },
    { name: "__proto__", body: `{"__proto__":{"x":"${mark}"}}`, status: 400, paths: ["__proto__"] },
    { name: "NUL", body: { address: `${mark}\0` }, status: 400, paths: ["address"] },
    {
      name: "an object in the place of text",
      body: { address: { line1: mark } },
      status: 400,
      paths: ["address"]
    },
    { name: "the version", body: { version: 7 }, status: 400, paths: ["version"] },
    { name: "deep objects", body: `${'{"address":'.repeat(3_000)}1${"}".repeat(3_000)}`, status: 400 },
    { name: "more than 64 KiB", body: { address: text(65_536) }, status: 413 }
  ] satisfies ReadonlyArray<Case>
).map((it) => ({ ...it, method: "PATCH", path: "/customer/:uid" }))

const ids: ReadonlyArray<Case> = [
  ["NUL", "%00"],
  ["a line break", `${mark}%0A`],
  ["half of a character", `${mark}%ED%A0%80`],
  ["bad encoding", `${mark}%ZZ`],
  ["513 characters", text(513)],
  ["5,000 characters", text(5_000)]
].flatMap(([name, id]) =>
  (
    [
      ["GET", undefined],
      ["DELETE", undefined],
      ["PUT", short],
      ["PATCH", { name: mark }]
    ] as const
  ).map(([method, body]) => ({
    name: `${name} as an id`,
    method,
    path: `/customer/${id}`,
    body,
    status: 400
  }))
)

const headers: ReadonlyArray<Case> = [
  ...["3", '"3" "4"', '"3', "", ",", `"${mark}`, `W/ "3"`, '*, "3"', '"3"x'].flatMap((tags) => [
    {
      name: `If-Match ${tags}`,
      method: "DELETE",
      path: "/customer/:uid",
      headers: { "if-match": tags },
      status: 400,
      paths: ["if-match"]
    },
    {
      name: `If-Match ${tags}`,
      method: "PUT",
      path: "/customer/:uid",
      body: short,
      headers: { "if-match": tags },
      status: 400,
      paths: ["if-match"]
    },
    {
      name: `If-None-Match ${tags}`,
      method: "GET",
      path: "/customer/:uid",
      headers: { "if-none-match": tags },
      status: 400,
      paths: ["if-none-match"]
    }
  ]),
  ...["", '""', `"${mark}`, text(256), `${mark} ${mark}`, `${mark}, ${mark}`].map((key) => ({
    name: `Idempotency-Key ${key.slice(0, 40)}`,
    body: short,
    headers: { "idempotency-key": key },
    status: 400,
    paths: ["idempotency-key"]
  }))
]

const queries: ReadonlyArray<Case> = [
  ...["0", "201", "-1", "1.5", "abc", "", "1e2", "0x10", " 5", "9999999999"].map(
    (limit) => [`limit=${encodeURIComponent(limit)}`, "limit"] as const
  ),
  ["limit=1&limit=2", "limit"] as const,
  ...[
    mark,
    "",
    "%00",
    "====",
    Buffer.from("\0").toString("base64url"),
    Buffer.from(text(600)).toString("base64url")
  ].map((cursor) => [`cursor=${cursor}`, "cursor"] as const),
  ...[mark, "", "%00", `a%00@${mark}.com`].map((email) => [`email=${email}`, "email"] as const),
  [`emial=${mark}`, "emial"] as const,
  [`$where=${mark}`, "(a name that is not repeated)"] as const
].map(([query, path]) => ({
  name: `?${query.slice(0, 40)}`,
  method: "GET",
  path: `/customers?${query}`,
  status: 400,
  paths: [path]
}))

const access: ReadonlyArray<Case> = [
  ["no token", ""],
  ["a wrong token", `Bearer ${tokens.wrong}`],
  ["a token and more", `Bearer ${tokens.writer} ${mark}`],
  ["a token of another scheme", `Basic ${tokens.writer}`],
  ["a token without scheme", tokens.writer],
  ["a token behind any seven characters", `Xxxxxx ${tokens.writer}`],
  ["the beginning of a token", `Bearer ${tokens.writer.slice(0, -1)}`]
].flatMap(([name = "", authorization = ""]) => [
  { name, body: short, headers: { authorization }, status: 401 },
  { name, body: mark, headers: { authorization }, status: 401 },
  { name, method: "GET", path: "/customer/%00", headers: { authorization }, status: 401 }
])

const forbidden: ReadonlyArray<Case> = (
  [
    ["POST", "/customer", short],
    ["PUT", "/customer/:uid", short],
    ["PATCH", "/customer/:uid", { name: mark }],
    ["DELETE", "/customer/:uid", undefined],
    ["POST", "/customer", mark]
  ] as const
).map(([method, path, body]) => ({
  name: "a token without the permission",
  method,
  path,
  body,
  headers: { authorization: `Bearer ${tokens.reader}` },
  status: 403
}))

const routes: ReadonlyArray<Case> = [
  { name: "another path", method: "GET", path: `/${mark}`, status: 404 },
  { name: "a path with a slash too many", method: "GET", path: "/customers/", status: 404 },
  { name: "an empty id", method: "GET", path: "/customer/", status: 400, paths: ["uid"] },
  { name: "another method", method: "GET", status: 405 },
  { name: "another method", method: "POST", path: "/customers", body: short, status: 405 },
  { name: "OPTIONS", method: "OPTIONS", path: "/customer/:uid", status: 405 }
]

/** A stack trace, or a name of a file of the program. */
const trace = /\bat \S+ \(|\bat (?:file:|node:|\/)|\.[jt]s\b|node_modules/

const expectProblem = (reply: Reply, { name, paths, status }: Case): void => {
  expect([name, reply.status, reply.headers.get("content-type")]).toEqual([
    name,
    status,
    "application/problem+json"
  ])
  const requestId = reply.headers.get("x-request-id")
  expect(reply.body).toMatchObject({
    type: expect.stringMatching(/^urn:twinbox:problem:[a-z-]+$/),
    title: expect.stringMatching(/^[A-Z]/),
    status,
    detail: expect.stringMatching(/\.$/),
    instance: `urn:twinbox:request:${requestId}`,
    requestId
  })
  if (paths !== undefined) {
    const { errors } = reply.body as { readonly errors: ReadonlyArray<{ readonly path: string }> }
    expect([name, errors.map(({ path }) => path).toSorted()]).toEqual([name, paths.toSorted()])
  }
  expect(reply.text).not.toMatch(trace)
  expect(reply.headers.get("retry-after")).toBe(null)
}

const expectSilence = (told: string): void => {
  expect(told).not.toContain(mark)
  for (const token of Object.values(tokens)) expect(told).not.toContain(token)
}

const authorized = (given: Call["headers"] = {}) => ({
  authorization: `Bearer ${tokens.writer}`,
  ...given
})

const makeCustomer = ({ call }: Api, version: string) =>
  Effect.map(
    call("POST", `/${version}/customer`, { body: short, headers: authorized() }),
    ({ body }) => (body as { readonly uid: string }).uid
  )

const groups = { bodies, replacements, patches, ids, headers, queries, access, forbidden, routes }

layer(sharedApi({ tokens: apiTokens }), { excludeTestServices: true })("Bad input", (it) => {
  for (const version of ["v1", "v2"]) {
    for (const [group, cases] of Object.entries(groups)) {
      it.effect(`is refused with a problem, and nothing is written: /${version}, ${group}`, () =>
        Effect.gen(function* () {
          const api = yield* SharedApi
          const uid = yield* makeCustomer(api, version)
          const before = yield* api.stock
          const linesBefore = api.logs.length
          for (const one of cases) {
            const { body, headers: given, method = "POST", name, path = "/customer" } = one
            const target = `/${version}${path.replace(":uid", uid)}`
            const reply = yield* api.call(method, target, { body, headers: authorized(given) })
            expectProblem(reply, { ...one, name: `${method} ${name}` })
            expectSilence(`${reply.text} ${[...reply.headers].join()}`)
          }
          expect(yield* api.stock).toEqual(before)
          const lines = api.logs.slice(linesBefore)
          expect(lines).toHaveLength(cases.length)
          expectSilence(lines.join("\n"))
          expect(lines.filter((line) => /level=(?:ERROR|FATAL)/.test(line))).toEqual([])
        })
      )
    }
  }
})
