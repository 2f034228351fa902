import {
  HttpApiBuilder,
  HttpApiError,
  type HttpApp,
  HttpServerError,
  HttpServerRequest,
  HttpServerResponse,
  HttpTraceContext
} from "@effect/platform"
import { Cause, Clock, Effect, type Layer, Option } from "effect"
import type * as ApiRoutes from "./ApiRoutes.ts"
import * as Correlation from "./Correlation.ts"
import * as FieldProblem from "./FieldProblem.ts"
import * as Loopback from "./Loopback.ts"
import { contentType, detailsOf, fromPage, headersOf, invalid, Problem } from "./Problem.ts"
import * as RequestId from "./RequestId.ts"
import { Settings } from "./Settings.ts"

const noSuchRoute = new Problem({ kind: "no-such-route", detail: "See /openapi.json for what there is." })

const badPath = invalid([{ path: "path", problem: "is badly encoded, or too long" }])

const otherMethods = ({ methods }: ApiRoutes.Route): Problem =>
  new Problem({
    kind: "method-not-allowed",
    detail: `It has ${methods.join(", ")}.`,
    headers: { allow: methods.join(", ") }
  })

/** A defect may quote anything, so only its kind is told. */
const faulty = (cause: Cause.Cause<unknown>): Problem => {
  const [defect] = Cause.defects(cause)
  const message = defect instanceof Error ? defect.name : "an unknown error"
  return new Problem({
    kind: "internal",
    detail: "The log has more under the id of this request.",
    cause: { message }
  })
}

/** What the router does not find: it takes no path that is badly encoded or has very long parts. */
const notRouted = (method: string, route: ApiRoutes.Route | undefined): Problem => {
  if (route === undefined) return noSuchRoute
  return route.methods.includes(method) ? badPath : otherMethods(route)
}

const problemOf = (
  cause: Cause.Cause<unknown>,
  method: string,
  route: ApiRoutes.Route | undefined
): Problem => {
  const error = Option.getOrUndefined(Cause.failureOption(cause))
  if (error instanceof Problem) return error
  if (error instanceof HttpApiError.HttpApiDecodeError) return invalid(FieldProblem.ofIssues(error.issues))
  return error instanceof HttpServerError.RouteNotFound ? notRouted(method, route) : faulty(cause)
}

/** The status that nginx has for clients that did not wait for their answer; nobody receives it. */
const clientGone = HttpServerResponse.empty({ status: 499 })

/** The answer to a request that failed. What is the program's own fault goes to the log. */
const describe = (problem: Problem, cause: Cause.Cause<unknown>, requestId: string) =>
  Effect.gen(function* () {
    if (problem.kind === "internal") {
      yield* Effect.logError(`a request was not answered: ${problem.cause?.message ?? "an unknown error"}`)
      yield* Effect.logDebug(cause)
    }
    return HttpServerResponse.unsafeJson(detailsOf(problem, requestId), {
      status: problem.status,
      contentType,
      headers: headersOf(problem)
    })
  })

/** Pages bring all that they need with them. */
const pagePolicy =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:; connect-src 'self'; frame-ancestors 'none'"

const isPage = ({ headers }: HttpServerResponse.HttpServerResponse): boolean =>
  headers["content-type"]?.startsWith("text/html") === true

const completed = (response: HttpServerResponse.HttpServerResponse, requestId: string) =>
  HttpServerResponse.setHeaders(response, {
    [RequestId.header]: requestId,
    "x-content-type-options": "nosniff",
    ...(isPage(response) ? { "content-security-policy": pagePolicy } : {})
  })

/**
 * Stands around all answers: gives each request its id, a span and a line in the log, with the pattern of the path in
 * place of ids and without the query, and turns whatever fails into a problem.
 */
const around =
  (routes: ApiRoutes.ApiRoutes, isOpen: boolean) =>
  (app: HttpApp.Default): HttpApp.Default =>
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const { headers, method, url } = request
      const requestId = RequestId.of(headers[RequestId.header])
      const route = routes.find(url)
      const name = route?.pattern ?? "unknown"
      const begun = yield* Clock.currentTimeMillis
      const admitted: HttpApp.Default<Problem> =
        isOpen && Loopback.isOfPage(headers["host"], headers["origin"]) ? fromPage : app
      return yield* admitted.pipe(
        Effect.catchAllCause((cause) =>
          Cause.isInterruptedOnly(cause)
            ? Effect.succeed(clientGone)
            : describe(problemOf(cause, method, route), cause, requestId)
        ),
        Effect.map((response) => completed(response, requestId)),
        Effect.tap(({ status }) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            Effect.annotateLogs(Effect.logInfo("answered"), { method, route: name, status, ms: now - begun })
          )
        ),
        Correlation.within({ request_id: requestId }),
        Effect.withSpan(`${method} ${name}`, {
          kind: "server",
          parent: Option.getOrUndefined(HttpTraceContext.w3c(headers)),
          attributes: { "http.request.method": method, "http.route": name },
          captureStackTrace: false
        })
      )
    })

/** For an API of these routes. */
export const layer = (routes: ApiRoutes.ApiRoutes): Layer.Layer<never, never, Settings> =>
  HttpApiBuilder.middleware(Effect.map(Settings, ({ apiTokens }) => around(routes, Option.isNone(apiTokens))))
