import { request as httpRequest } from "node:http"
import { describe, expect, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Permission from "../src/Permission.ts"
import { type Api, SharedApi, sharedApi, startApi } from "./apiServer.ts"
import { exchange } from "./httpClient.ts"
import { short } from "./sampleCustomers.ts"

const tokenOf = (permission: string): string => `api-token-for-${permission.replaceAll(":", "-")}`

/** A caller for each permission, who has no other. */
const apiTokens = JSON.stringify(
  Object.fromEntries(
    [...Permission.all].map((permission) => [
      tokenOf(permission),
      { user: permission.replaceAll(":", "-"), permissions: [permission] }
    ])
  )
)

const endpoints = ["v1", "v2"].flatMap((version) => [
  ["customers:write", "POST", `/${version}/customer`, short],
  ["customers:read", "GET", `/${version}/customer/7`, undefined],
  ["customers:write", "PUT", `/${version}/customer/7`, short],
  ["customers:write", "PATCH", `/${version}/customer/7`, short],
  ["customers:write", "DELETE", `/${version}/customer/7`, undefined],
  ["customers:read", "GET", `/${version}/customers`, undefined]
]) as ReadonlyArray<readonly [Permission.Permission, string, string, unknown]>

const others: typeof endpoints = [
  ["twins:read", "GET", "/v1/customers/7/twin", undefined],
  ["admin", "GET", "/v2/refused", undefined],
  ["admin", "DELETE", "/v2/refused/1-1", undefined],
  ["admin", "POST", "/v2/refused/1-1/requeue", undefined]
]

layer(sharedApi({ tokens: apiTokens }), { excludeTestServices: true })("With API_TOKENS", (it) => {
  it.effect("each endpoint needs its permission, and no other will do", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      for (const [needed, method, path, body] of [...endpoints, ...others]) {
        for (const permission of Permission.all) {
          const headers = { authorization: `Bearer ${tokenOf(permission)}` }
          const { headers: answered, status } = yield* call(method, path, { body, headers })
          const isLetIn = [200, 201, 204, 404].includes(status)
          expect([path, method, permission, isLetIn]).toEqual([
            path,
            method,
            permission,
            permission === needed
          ])
          if (isLetIn) continue
          expect([status, answered.get("www-authenticate")]).toEqual([
            403,
            `Bearer realm="twinbox", error="insufficient_scope", scope="${needed}"`
          ])
        }
      }
    })
  )

  it.effect("a call needs a token, which is told in the way of RFC 6750", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      for (const [, method, path, body] of [...endpoints, ...others]) {
        const without = yield* call(method, path, { body })
        expect([path, without.status, without.headers.get("www-authenticate")]).toEqual([
          path,
          401,
          'Bearer realm="twinbox"'
        ])
      }
      const wrong = yield* call("GET", "/v1/customers", {
        headers: { authorization: "Bearer not-a-token-of-ours" }
      })
      expect([wrong.status, wrong.headers.get("www-authenticate")]).toEqual([
        401,
        'Bearer realm="twinbox", error="invalid_token"'
      ])
    })
  )

  it.effect("the name of the scheme may be written in any case", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      const headers = { authorization: `bEARER  ${tokenOf("customers:read")}` }
      expect((yield* call("GET", "/v1/customers", { headers })).status).toBe(200)
    })
  )

  it.effect("operations and descriptions need none", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      for (const path of ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"]) {
        expect([path, (yield* call("GET", path)).status]).toEqual([path, 200])
      }
    })
  )

  it.effect("hosts and pages of others may call: they have no token by themselves", () =>
    Effect.gen(function* () {
      const api = yield* SharedApi
      expect(yield* callAs(api, { host: "twinbox.example.com", origin: "https://example.com" })).toBe(200)
    })
  )
})

/** Asks for the health under other names than the one that was connected to. */
const callAs = ({ port }: Api, headers: Readonly<Record<string, string>>, path = "/healthz") =>
  Effect.async<number | undefined>((resume) => {
    const sent = httpRequest({ host: "127.0.0.1", port, path, headers: { connection: "close", ...headers } })
    sent.on("response", (response) => {
      response.resume()
      resume(Effect.succeed(response.statusCode))
    })
    sent.end()
  })

describe("Without API_TOKENS", () => {
  it.scopedLive("programs of this machine may do everything, and pages in its browser nothing", () =>
    Effect.gen(function* () {
      const api = yield* startApi()
      const { port } = api
      for (const path of ["/v1/customers", "/v2/customers", "/v2/refused", "/healthz", "/docs"]) {
        for (const [headers, status] of [
          [{ host: `127.0.0.1:${port}` }, 200],
          [{ host: `LocalHost:${port}` }, 200],
          [{ host: `[::1]:${port}` }, 200],
          [{ host: "localhost" }, 200],
          [{ host: `127.0.0.1:${port}`, origin: `http://127.0.0.1:${port}` }, 200],
          [{ host: `evil.example.com:${port}` }, 403],
          [{ host: "127.0.0.1.example.com" }, 403],
          [{ host: "localhost.example.com" }, 403],
          [{ host: `127.0.0.1:${port}`, origin: "http://evil.example.com" }, 403],
          [{ host: `127.0.0.1:${port}`, origin: "null" }, 403],
          [{ host: `127.0.0.1:${port}`, origin: "http://localhost:5173" }, 403],
          [{ host: `127.0.0.1:${port}`, origin: `https://127.0.0.1:${port}` }, 403]
        ] as const) {
          const found = yield* callAs(api, headers, path)
          expect([path, headers, found]).toEqual([path, headers, status])
        }
      }
      for (const text of [
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"
      ]) {
        expect(yield* exchange(port, text)).toMatch(/^HTTP\/1\.1 403 /)
      }
    })
  )
})
