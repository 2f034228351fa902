import { expect, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SharedApi, sharedApi } from "./apiServer.ts"

interface Operation {
  readonly summary?: string
  readonly security: ReadonlyArray<unknown>
  readonly requestBody?: { readonly content: Readonly<Record<string, unknown>> }
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>
}

interface Spec {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, { readonly examples?: unknown }>> }
}

/** What each operation of customers may answer. */
const statuses: Readonly<Record<string, ReadonlyArray<number>>> = {
  "post customer": [201, 400, 401, 403, 413, 415, 422, 500, 503],
  "get customer/{uid}": [200, 400, 401, 403, 404, 500, 503],
  "put customer/{uid}": [200, 400, 401, 403, 404, 412, 413, 415, 500, 503],
  "patch customer/{uid}": [200, 400, 401, 403, 404, 412, 413, 415, 500, 503],
  "delete customer/{uid}": [204, 400, 401, 403, 404, 412, 500, 503],
  "get customers": [200, 400, 401, 403, 500, 503]
}

layer(sharedApi(), { excludeTestServices: true })("The description of the API", (it) => {
  const spec = Effect.flatMap(SharedApi, ({ call }) =>
    Effect.map(call("GET", "/openapi.json"), ({ body }) => body as Spec)
  )

  it.effect("has all operations with their summaries, tokens and answers", () =>
    Effect.gen(function* () {
      const { openapi, paths } = yield* spec
      expect(openapi).toBe("3.1.0")
      for (const version of ["v1", "v2"]) {
        for (const [name, expected] of Object.entries(statuses)) {
          const [method = "", path = ""] = name.split(" ")
          const operation = paths[`/${version}/${path}`]?.[method]
          expect([
            name,
            Object.keys(operation?.responses ?? {})
              .map(Number)
              .toSorted((a, b) => a - b)
          ]).toEqual([name, expected])
          expect(operation?.security).toEqual([{ bearer: [] }])
        }
      }
      for (const operations of Object.values(paths)) {
        for (const { summary } of Object.values(operations)) expect(summary).toMatch(/^[A-Z]/)
      }
      expect(Object.keys(paths)).toEqual(
        expect.arrayContaining([
          "/v1/customers/{uid}/twin",
          "/v2/refused",
          "/v2/refused/{position}",
          "/v2/refused/{position}/requeue",
          "/metrics",
          "/healthz",
          "/readyz"
        ])
      )
      expect(Object.keys(paths["/v1/customer/{uid}"]?.["patch"]?.requestBody?.content ?? {})).toEqual([
        "application/merge-patch+json"
      ])
    })
  )

  it.effect("says of all errors that they are problems, and shows an example of either form", () =>
    Effect.gen(function* () {
      const { components, paths } = yield* spec
      const problem = { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } }
      for (const [path, operations] of Object.entries(paths)) {
        if (!path.startsWith("/v")) continue
        for (const { responses } of Object.values(operations)) {
          for (const [status, { content }] of Object.entries(responses)) {
            if (Number(status) >= 400) expect([path, status, content]).toEqual([path, status, problem])
          }
        }
      }
      expect(JSON.stringify(paths)).not.toContain("HttpApiDecodeError")
      expect(components.schemas["Problem"]).toMatchObject({ required: expect.arrayContaining(["requestId"]) })
      expect(components.schemas["ShortCustomer"]?.examples).toEqual([{ name: "cc Inc", address: "cahce 37" }])
      expect(components.schemas["FullCustomer"]?.examples).toMatchObject([{ firstName: "Ada" }])
    })
  )

  it.effect("has no reference that leads nowhere", () =>
    Effect.gen(function* () {
      const found = yield* spec
      const references = JSON.stringify(found).matchAll(/"#\/components\/schemas\/([^"]+)"/g)
      for (const [, name = ""] of references) expect(Object.keys(found.components.schemas)).toContain(name)
    })
  )

  it.effect("is a page, too, that loads nothing from anywhere", () =>
    Effect.gen(function* () {
      const { call } = yield* SharedApi
      const { headers, status, text } = yield* call("GET", "/docs")
      expect([status, headers.get("content-type")]).toEqual([200, "text/html"])
      expect(text).not.toMatch(/<(?:script|link|img|iframe)[^>]*\s(?:src|href)=/)
      expect(text).toContain("/v2/customer/{uid}")
      const policy = headers.get("content-security-policy") ?? ""
      expect(policy).toMatch(/^default-src 'none';/)
      expect(policy).not.toMatch(/https?:|\*/)
    })
  )
})
