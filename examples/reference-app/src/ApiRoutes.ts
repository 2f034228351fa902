import { HttpApi, type HttpApiGroup, HttpRouter } from "@effect/platform"

/** Each path has one spelling. Ids may be long; how long is told by the id's own rule. */
export const router = HttpRouter.setRouterConfig({
  caseSensitive: true,
  ignoreDuplicateSlashes: false,
  ignoreTrailingSlash: false,
  maxParamLength: 4_096
})

/** A path of the API with all its methods. */
export interface Route {
  /** As it was declared, for example `/v1/customer/:uid`: fit for logs, where ids are not. */
  readonly pattern: string
  readonly methods: ReadonlyArray<string>
}

export interface ApiRoutes {
  /** The route of a request's target, whatever its method. */
  readonly find: (url: string) => Route | undefined
}

interface Known {
  readonly route: Route & { readonly methods: Array<string> }
  readonly expression: RegExp
}

const expressionOf = (pattern: string): RegExp => new RegExp(`^${pattern.replace(/:[^/]+/g, "[^/]*")}$`)

const pathOf = (url: string): string => url.split("?", 1)[0] ?? ""

/** Collects the routes of an API and some that are beside it. GET brings HEAD with it. */
export const make = <Id extends string, Groups extends HttpApiGroup.HttpApiGroup.Any, E, R>(
  api: HttpApi.HttpApi<Id, Groups, E, R>,
  pages: ReadonlyArray<string>
): ApiRoutes => {
  const known = new Map<string, Known>()
  const add = (pattern: string, method: string): void => {
    const entry = known.get(pattern) ?? {
      route: { pattern, methods: [] },
      expression: expressionOf(pattern)
    }
    entry.route.methods.push(...(method === "GET" ? ["GET", "HEAD"] : [method]))
    known.set(pattern, entry)
  }
  HttpApi.reflect(api, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint }) => add(endpoint.path, endpoint.method)
  })
  for (const page of pages) add(page, "GET")
  const all = [...known.values()]
  return { find: (url) => all.find(({ expression }) => expression.test(pathOf(url)))?.route }
}
