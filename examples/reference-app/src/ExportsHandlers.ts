import { Readable } from "node:stream"
import { HttpApiBuilder, type HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { ExportAccess, ExportError, type Exporter, ExportState, type ExportStatus } from "@twinbox/exporter"
import { MongoDatabase } from "@twinbox/mongodb"
import { Duration, Effect, Either, Option, Stream } from "effect"
import { Caller, lacks } from "./Access.ts"
import { Api } from "./Api.ts"
import * as CustomerExport from "./CustomerExport.ts"
import * as ExportBody from "./ExportBody.ts"
import * as ExportDownload from "./ExportDownload.ts"
import * as ExportProblem from "./ExportProblem.ts"
import { of as resourceOf, progressHeaders } from "./ExportResource.ts"
import { Exports } from "./Exports.ts"
import { invalid, type Problem } from "./Problem.ts"
import * as RequestBody from "./RequestBody.ts"
import { RequestLimits } from "./RequestLimits.ts"
import { Settings } from "./Settings.ts"

type Request = HttpServerRequest.HttpServerRequest

interface OnExport {
  readonly path: { readonly id: string }
}

const noStore = { "cache-control": "no-store" }

/** How long somebody waits for the end of a live export before being told to come again. */
const finishWithin = Duration.seconds(5)

/** Where an export is. */
const pathOf = (id: string): string => `/exports/${id}`

const answer = (status: ExportStatus, code = 200, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.unsafeJson(resourceOf(status), {
    status: code,
    headers: { ...noStore, ...progressHeaders(status), ...headers }
  })

const user = Effect.map(Caller, ({ permissions, user }): ExportAccess.User => ({ id: user, permissions }))

const noOriginals = invalid([
  { path: "mode", problem: "must be snapshot: with TWO_WAY=off, changes of originals are published nowhere" }
])

/** Fails unless the export has come to its end with all its data. */
const complete = (exporter: Exporter.ExporterService, id: string, reader: ExportAccess.User) =>
  Effect.flatMap(exporter.status(id, reader), ({ state }) =>
    ExportState.isEnded(state) && state !== "COMPLETED"
      ? new ExportError({ reason: "Incomplete", state })
      : Effect.void
  )

/**
 * Bytes as a body. Unlike that of a stream, its error cuts the connection, so that a part never looks like the whole.
 * Nothing is read before somebody reads it, nor more than that.
 */
const bodyOf = (bytes: Stream.Stream<Uint8Array, ExportError>) =>
  Effect.map(Stream.toAsyncIterableEffect(bytes), (pages) => Readable.from(pages, { objectMode: false }))

/** What the endpoints do. */
const operations = (exporter: Exporter.ExporterService, { db }: MongoDatabase.MongoDatabase["Type"]) => ({
  start: (request: Request, twoWay: boolean) =>
    Effect.gen(function* () {
      const { value } = yield* RequestBody.json(request, ["application/json"])
      const body = yield* Either.mapLeft(ExportBody.decode(value), invalid)
      if (body.view === "original" && (body.mode ?? "snapshot") !== "snapshot" && !twoWay)
        return yield* noOriginals
      const owner = yield* user
      const { id } = yield* Effect.uninterruptible(CustomerExport.start(exporter, db, owner, body))
      return answer(yield* exporter.status(id, owner), 202, { location: pathOf(id) })
    }),

  list: Effect.gen(function* () {
    const found = yield* exporter.list(yield* user)
    return HttpServerResponse.unsafeJson({ items: found.map(resourceOf) }, { headers: noStore })
  }),

  status: ({ path: { id } }: OnExport) =>
    Effect.gen(function* () {
      return answer(yield* exporter.status(id, yield* user))
    }),

  stop: ({ path: { id } }: OnExport) =>
    Effect.gen(function* () {
      return answer(yield* Effect.uninterruptible(exporter.stop(id, yield* user)))
    }),

  finish: ({ path: { id } }: OnExport) =>
    Effect.gen(function* () {
      const who = yield* user
      const finished = yield* Effect.timeoutOption(exporter.finish(id, who), finishWithin)
      return Option.isSome(finished)
        ? answer(finished.value)
        : answer(yield* exporter.status(id, who), 202, { location: pathOf(id) })
    }),

  data: ({
    headers,
    path: { id },
    request
  }: OnExport & { readonly headers: ExportDownload.Headers; readonly request: Request }) =>
    Effect.gen(function* () {
      const reader = yield* user
      const status = yield* exporter.status(id, reader)
      // Before the first byte: later there would be no way to say so.
      if (!ExportAccess.mayRead(reader, status.view))
        return yield* lacks(ExportAccess.permissionOf(status.view))
      const download = yield* ExportDownload.of(status, headers)
      const options = { status: download.status, headers: download.headers }
      if (request.method === "HEAD" || download.status === 304) return HttpServerResponse.empty(options)
      const bytes = exporter.read(id, reader, download.range)
      const body = yield* bodyOf(
        download.isFollowing ? Stream.concat(bytes, Stream.execute(complete(exporter, id, reader))) : bytes
      )
      return HttpServerResponse.raw(body, options)
    })
})

type Operations = ReturnType<typeof operations>

/** Answers for exports of customers. */
export const layer = HttpApiBuilder.group(Api, "exports", (handlers) =>
  Effect.gen(function* () {
    const { run } = yield* RequestLimits
    const { twoWay } = yield* Settings
    const database = yield* MongoDatabase.MongoDatabase
    const found = Option.map(yield* Exports, (exporter) => operations(exporter, database))
    /** The work of a request, within the limits. */
    const within = <A, R>(work: (operations: Operations) => Effect.Effect<A, Problem | ExportError, R>) =>
      run(
        Option.match(found, {
          onNone: () => ExportProblem.absent,
          onSome: (operations) =>
            Effect.catchTag(work(operations), "ExportError", (error) => ExportProblem.of(error))
        })
      )
    return handlers
      .handleRaw("start", ({ request }) => within(({ start }) => start(request, twoWay)))
      .handle("list", () => within(({ list }) => list))
      .handle("status", (input) => within(({ status }) => status(input)))
      .handle("stop", (input) => within(({ stop }) => stop(input)))
      .handle("finish", (input) => within(({ finish }) => finish(input)))
      .handle("data", (input) => within(({ data }) => data(input)))
  })
)
