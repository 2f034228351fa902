import type { Topic } from "@twinbox/outbox"
import type { RedisConnection } from "@twinbox/redis"
import {
  Clock,
  Config,
  Context,
  Deferred,
  Duration,
  Effect,
  FiberSet,
  Layer,
  Option,
  type Scope,
  Stream
} from "effect"
import type { ByteConnection } from "./ByteConnection.ts"
import * as Compressor from "./Compressor.ts"
import * as ExportAccess from "./ExportAccess.ts"
import { type AuditRecord, ExportAudit } from "./ExportAudit.ts"
import { ExportError, fromRedis } from "./ExportError.ts"
import * as ExportFormat from "./ExportFormat.ts"
import * as ExportId from "./ExportId.ts"
import * as ExportReader from "./ExportReader.ts"
import { versionedColumns } from "./ExportRecord.ts"
import * as ExportRun from "./ExportRun.ts"
import type { ExportSource } from "./ExportSource.ts"
import { type EndState, isEnded } from "./ExportState.ts"
import type { ExportStatus } from "./ExportStatus.ts"
import * as ExportStore from "./ExportStore.ts"

export interface Options {
  /** How long an export is kept after its end. Default 60 minutes. */
  readonly expiry?: Duration.DurationInput
  /** After how long a silence of its process an export counts as failed. Default 15 seconds. */
  readonly heartbeatLimit?: Duration.DurationInput
  /** How soon an instance learns that another has stopped its export, at the latest. Default 250 ms. */
  readonly pollEvery?: Duration.DurationInput
  /** How long closing a source may take when an export ends early. Default 2 seconds. */
  readonly closeWithin?: Duration.DurationInput
  /** The largest export, in bytes as they are stored. Default 4 GiB. */
  readonly maxBytes?: number
  /** How many exports of one user may run. Default 3. */
  readonly maxRunningPerUser?: number
  /** How many exports may run in all. Default 50. */
  readonly maxRunning?: number
  /** How many exports a list shows. Default 1,000. */
  readonly maxListed?: number
  /** How much is gathered for one append, about. Default 256 KiB. */
  readonly chunkBytes?: number
  /** How much is read at a time. Default 256 KiB. */
  readonly pageBytes?: number
  /** Where data goes on in the next segment; at most 500 MiB. Default 64 MiB. */
  readonly segmentBytes?: number
}

export interface StartOptions<V extends Topic.View> {
  /** Whether the records hold personal data: `original` needs a permission of its own. */
  readonly view: V
  readonly format: ExportFormat.ExportFormat
  /** Default false. */
  readonly gzip?: boolean
  /** Which fields, as paths such as `address.city`. CSV needs them; default for NDJSON: all. */
  readonly columns?: ReadonlyArray<string>
  /** How many records are to be expected, for the percentage. */
  readonly total?: number
  /**
   * Makes it a live export: it takes the messages of this topic from before the source is opened, and goes on until
   * it is finished or stopped. `_id`, `version` and `deleted` are among its columns.
   */
  readonly live?: Topic.Any<V>
}

/** An export that runs in this process. */
export interface Handle {
  readonly id: string
  /** Waits until it has ended, and its source is closed. */
  readonly ended: Effect.Effect<ExportRun.Outcome>
}

type Call<A> = Effect.Effect<A, ExportError>

/**
 * Exports that anybody allowed to can follow, stop and download from any instance. To all but their owner and
 * `admin` they do not exist: `NotFound`.
 */
export interface ExporterService {
  /**
   * Starts an export and returns at once. A source is opened only after that, and closed when the export ends; when
   * the start is refused it is left untouched. Fails with `Forbidden`, `InvalidOptions`, `TooManyExports`.
   */
  readonly start: <V extends Topic.View>(
    user: ExportAccess.User,
    source: ExportSource,
    options: StartOptions<V>
  ) => Call<Handle>
  /**
   * Ends an export as CANCELLED. From the moment it returns not one byte is written. Fails with `AlreadyEnded` when
   * it has ended, which a second stop finds too.
   */
  readonly stop: (id: string, user: ExportAccess.User) => Call<ExportStatus>
  /**
   * Lets a live export come to its end, and waits for it: its source, then all it was handed. Fails with `NotLive`,
   * and with `AlreadyEnded` when it ended otherwise, or before.
   */
  readonly finish: (id: string, user: ExportAccess.User) => Call<ExportStatus>
  readonly status: (id: string, user: ExportAccess.User) => Call<ExportStatus>
  /** Data as it is stored, of an export that runs as it comes: see `ExportReader.read`. */
  readonly read: (
    id: string,
    user: ExportAccess.User,
    range?: ExportReader.ByteRange
  ) => Stream.Stream<Uint8Array, ExportError>
  /** Exports of the user, for an `admin` of everybody; those that live longest first. */
  readonly list: (user: ExportAccess.User) => Call<ReadonlyArray<ExportStatus>>
  /** Marks exports whose process is gone, each exactly once; their ids. It is done all the time by itself. */
  readonly sweep: Call<ReadonlyArray<string>>
}

export class Exporter extends Context.Tag("@twinbox/exporter/Exporter")<Exporter, ExporterService>() {}

const mib = 1024 * 1024
const kib = 1024

const defaults = {
  expiry: Duration.minutes(60),
  heartbeatLimit: Duration.seconds(15),
  pollEvery: Duration.millis(250),
  closeWithin: Duration.seconds(2),
  maxBytes: 4096 * mib,
  maxRunningPerUser: 3,
  maxRunning: 50,
  maxListed: 1000,
  chunkBytes: 256 * kib,
  pageBytes: 256 * kib,
  segmentBytes: 64 * mib
}

const maxSegmentBytes = 500 * mib
const maxColumns = 1000
const maxUserLength = 256

/** How many heartbeats fit into their limit. */
const heartbeatsPerLimit = 5

const millisOf = (duration: Duration.DurationInput): number =>
  Math.max(1, Math.round(Duration.toMillis(duration)))

const refused = (reason: "Forbidden" | "NotFound" | "InvalidOptions", detail?: string) =>
  new ExportError({ reason, ...(detail === undefined ? {} : { detail }) })

const alreadyEnded = (state: EndState) => new ExportError({ reason: "AlreadyEnded", state })

/** What is wrong with what a user asks for. */
const issueOf = (user: ExportAccess.User, options: StartOptions<Topic.View>): string | undefined => {
  if (user.id === "" || user.id.length > maxUserLength) return "the user's id has 1 to 256 characters"
  const { columns, format, live, total, view } = options
  if (format === "csv" && columns === undefined) return "csv needs columns"
  if (columns !== undefined && (columns.length === 0 || columns.length > maxColumns)) {
    return `there are 1 to ${maxColumns} columns`
  }
  if (columns?.some((column) => column === "") === true) return "a column has a name"
  if (new Set(columns).size !== (columns?.length ?? 0)) return "a column comes twice"
  if (total !== undefined && !(Number.isSafeInteger(total) && total >= 0)) return "total is no count"
  return live !== undefined && live.view !== view ? "the topic has another view" : undefined
}

/** A replay of a live export needs to know which version of what a record is. */
const columnsOf = ({ columns, live }: StartOptions<Topic.View>): ReadonlyArray<string> | undefined =>
  columns === undefined || live === undefined ? columns : [...new Set([...versionedColumns, ...columns])]

const metadataOf = (options: StartOptions<Topic.View>, segmentBytes: number) => ({
  view: options.view,
  format: options.format,
  encoding: options.gzip === true ? "gzip" : "identity",
  segmentBytes: String(segmentBytes),
  ...(options.total === undefined ? {} : { total: String(options.total) })
})

interface Running {
  readonly stopped: Deferred.Deferred<EndState>
  readonly ended: Deferred.Deferred<ExportRun.Outcome>
}

/** How often somebody who waits for an end looks for it. */
const finishPause = "100 millis"

/**
 * Runs exports until the scope ends; then those that still run end as FAILED, `ShutDown`. Redis comes and goes
 * meanwhile: an export waits for it two thirds of the heartbeat limit.
 */
export const make = (
  given: Options = {}
): Effect.Effect<ExporterService, never, RedisConnection.RedisConnection | ByteConnection | Scope.Scope> =>
  Effect.gen(function* () {
    const options = { ...defaults, ...given }
    const { chunkBytes, closeWithin, maxBytes, maxRunning, pageBytes, pollEvery, segmentBytes } = options
    if (segmentBytes < 1 || segmentBytes > maxSegmentBytes) {
      return yield* Effect.dieMessage("segmentBytes is 1 to 500 MiB")
    }
    const expiryMillis = millisOf(options.expiry)
    const heartbeatLimitMillis = millisOf(options.heartbeatLimit)
    // Long enough for others to notice the silence first.
    const runningExpiryMillis = Math.max(expiryMillis, 4 * heartbeatLimitMillis)
    const patienceMillis = Math.floor((2 * heartbeatLimitMillis) / 3)
    const pollsPerHeartbeat = Math.max(
      1,
      Math.floor(heartbeatLimitMillis / heartbeatsPerLimit / millisOf(pollEvery))
    )
    const store = yield* ExportStore.make({ expiryMillis, heartbeatLimitMillis, runningExpiryMillis })
    const audit = yield* ExportAudit
    const fibers = yield* FiberSet.make()
    const running = new Map<string, Running>()

    const note = (record: Omit<AuditRecord, "when">) =>
      Effect.flatMap(Clock.currentTimeMillis, (when) => audit.record({ ...record, when }))
    const noteOf = (event: AuditRecord["event"], who: string, status: ExportStatus) =>
      note({
        event,
        who,
        exportId: status.id,
        view: status.view,
        rows: status.records,
        bytes: status.bytes,
        ...(isEnded(status.state) ? { state: status.state } : {}),
        ...(status.failure === undefined ? {} : { failure: status.failure })
      })

    const visible = (id: string, user: ExportAccess.User): Call<ExportStatus> =>
      Effect.gen(function* () {
        // An id is the name of a key: nothing else is looked up.
        if (!ExportId.isExportId(id)) return yield* refused("NotFound")
        const status = yield* Effect.mapError(store.status(id), fromRedis)
        if (Option.isNone(status) || !ExportAccess.maySee(user, status.value.owner)) {
          return yield* refused("NotFound")
        }
        return status.value
      })

    const noteEnd = (id: string) =>
      store.status(id).pipe(
        Effect.flatMap(
          Option.match({
            onNone: () => Effect.void,
            onSome: (status) => noteOf("Ended", status.owner, status)
          })
        ),
        Effect.ignore
      )

    const create = (user: ExportAccess.User, writer: ExportStore.Writer, asked: StartOptions<Topic.View>) =>
      Effect.gen(function* () {
        const answer = yield* Effect.mapError(
          store.create({
            writer,
            owner: user.id,
            topic: asked.live?.name,
            maxRunning,
            maxRunningPerOwner: options.maxRunningPerUser,
            metadata: metadataOf(asked, segmentBytes)
          }),
          fromRedis
        )
        if (answer === "TooManyOfOwner" || answer === "TooMany") {
          const limit =
            answer === "TooMany" ? `${maxRunning} run in all` : `${options.maxRunningPerUser} of the user run`
          return yield* new ExportError({ reason: "TooManyExports", detail: limit })
        }
        if (answer === "Exists") return yield* Effect.dieMessage("the id of an export was there already")
        return undefined
      })

    const launch = (writer: ExportStore.Writer, source: ExportSource, asked: StartOptions<Topic.View>) =>
      Effect.gen(function* () {
        const here: Running = {
          stopped: yield* Deferred.make<EndState>(),
          ended: yield* Deferred.make<ExportRun.Outcome>()
        }
        running.set(writer.id, here)
        const work = ExportRun.run(store, {
          writer,
          source,
          topic: asked.live?.name,
          stopped: here.stopped,
          encoder: ExportFormat.encoder(asked.format, columnsOf(asked)),
          compressor: asked.gzip === true ? Compressor.gzip() : Compressor.none(),
          chunkBytes,
          maxBytes,
          patienceMillis,
          pollEvery,
          pollsPerHeartbeat,
          closeWithin,
          runningExpiryMillis,
          // After the scope has ended there is no later.
          later: (effect) => Effect.exit(FiberSet.run(fibers, Effect.interruptible(effect)))
        }).pipe(
          Effect.tap((outcome) => Effect.zipRight(noteEnd(writer.id), Deferred.succeed(here.ended, outcome))),
          Effect.ensuring(Effect.sync(() => running.delete(writer.id)))
        )
        yield* FiberSet.run(fibers, work)
        return { id: writer.id, ended: Deferred.await(here.ended) } satisfies Handle
      })

    const start: ExporterService["start"] = (user, source, asked) =>
      Effect.gen(function* () {
        if (!ExportAccess.mayStart(user, asked.view)) {
          yield* note({ event: "Refused", who: user.id, view: asked.view })
          return yield* refused("Forbidden", ExportAccess.permissionOf(asked.view))
        }
        const issue = issueOf(user, asked)
        if (issue !== undefined) return yield* refused("InvalidOptions", issue)
        const writer = { id: ExportId.make(), token: ExportId.make() }
        yield* create(user, writer, asked)
        yield* note({ event: "Started", who: user.id, exportId: writer.id, view: asked.view })
        return yield* launch(writer, source, asked)
      }).pipe(Effect.uninterruptible)

    const settled = (answer: ExportStore.Answer): Call<void> => {
      if (answer._tag === "Ended") return alreadyEnded(answer.state)
      if (answer._tag === "NotLive") return new ExportError({ reason: "NotLive" })
      return answer._tag === "Gone" ? refused("NotFound") : Effect.void
    }

    const stop: ExporterService["stop"] = (id, user) =>
      Effect.gen(function* () {
        yield* visible(id, user)
        yield* settled(yield* Effect.mapError(store.finish(id, undefined, { state: "CANCELLED" }), fromRedis))
        const here = running.get(id)
        if (here !== undefined) {
          yield* Deferred.succeed(here.stopped, "CANCELLED")
          yield* Effect.timeoutOption(Deferred.await(here.ended), closeWithin)
        }
        const status = yield* visible(id, user)
        yield* noteOf("Stopped", user.id, status)
        return status
      })

    const finish: ExporterService["finish"] = (id, user) =>
      Effect.gen(function* () {
        const before = yield* visible(id, user)
        yield* settled(yield* Effect.mapError(store.requestFinish(id), fromRedis))
        // What was asked for; who waits for it may have less patience. `Ended` tells how much it came to.
        yield* noteOf("Finished", user.id, before)
        const status = yield* Effect.repeat(Effect.delay(visible(id, user), finishPause), {
          until: ({ state }) => isEnded(state)
        })
        if (isEnded(status.state) && status.state !== "COMPLETED") return yield* alreadyEnded(status.state)
        return status
      })

    const read: ExporterService["read"] = (id, user, range = {}) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const status = yield* visible(id, user)
          if (!ExportAccess.mayRead(user, status.view)) {
            return yield* refused("Forbidden", ExportAccess.permissionOf(status.view))
          }
          let bytes = 0
          const download = { exportId: id, who: user.id, view: status.view }
          yield* note({ event: "DownloadStarted", ...download })
          return ExportReader.read(store, status, range, { pageBytes }).pipe(
            Stream.tap((page) => Effect.sync(() => (bytes += page.length))),
            Stream.ensuring(Effect.suspend(() => note({ event: "DownloadEnded", ...download, bytes })))
          )
        })
      )

    const sweep = Effect.gen(function* () {
      const ids = yield* Effect.mapError(store.sweep, fromRedis)
      yield* Effect.forEach(ids, noteEnd, { discard: true })
      return ids
    })
    const sweepAll = Effect.ignore(sweep).pipe(
      Effect.delay(Duration.millis(heartbeatLimitMillis / 2)),
      Effect.forever
    )
    yield* Effect.forkScoped(sweepAll)

    return Exporter.of({
      start,
      stop,
      finish,
      status: visible,
      read,
      list: (user) =>
        Effect.mapError(
          store.list(ExportAccess.isAdmin(user) ? undefined : user.id, options.maxListed),
          fromRedis
        ),
      sweep
    })
  })

export const layer = (
  options?: Options
): Layer.Layer<Exporter, never, RedisConnection.RedisConnection | ByteConnection> =>
  Layer.scoped(Exporter, make(options))

const positive = (name: string, most: number) =>
  Config.validate(Config.integer(name), {
    message: `is 1 to ${most}`,
    validation: (value: number) => value >= 1 && value <= most
  })

/** `EXPORT_EXPIRY_MINUTES`, `EXPORT_MAX_MEGABYTES`, `EXPORT_MAX_PER_USER`; all have a default. */
const config = Config.all({
  expiry: Config.withDefault(
    Config.map(positive("EXPORT_EXPIRY_MINUTES", 7 * 24 * 60), Duration.minutes),
    defaults.expiry
  ),
  maxBytes: Config.withDefault(
    Config.map(positive("EXPORT_MAX_MEGABYTES", 1024 * 1024), (megabytes) => megabytes * mib),
    defaults.maxBytes
  ),
  maxRunningPerUser: Config.withDefault(positive("EXPORT_MAX_PER_USER", 1000), defaults.maxRunningPerUser)
})

export const layerConfig = Layer.scoped(Exporter, Effect.flatMap(config, make))
