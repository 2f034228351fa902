import { MirrorBuild, MirrorView as View } from "@twinbox/outbox"
import { type Context, Duration, Effect } from "effect"
import * as BuildKeys from "./BuildKeys.ts"
import * as BuildLedger from "./BuildLedger.ts"
import * as BuildLock from "./BuildLock.ts"
import * as BuildScripts from "./BuildScripts.ts"
import * as BuildSteps from "./BuildSteps.ts"
import type * as Indexes from "./Indexes.ts"
import * as MirrorKeys from "./MirrorKeys.ts"
import * as MirrorView from "./MirrorView.ts"
import { RedisConnection } from "./RedisConnection.ts"
import type { RedisError } from "./RedisError.ts"
import * as RedisScript from "./RedisScript.ts"
import { tombstoneMillis } from "./TombstoneTtl.ts"

/** Which mirror, with everything that makes a difference to what it holds: give the same as to `RedisMirror`. */
export interface Options extends MirrorView.Options {
  /** How long the mirror keeps tombstones. Default: for ever. Longer than a rebuild takes. */
  readonly tombstoneTtl?: Duration.DurationInput
  /** Only of originals: what records can be looked up by. Default: nothing. */
  readonly indexes?: Indexes.Indexes
  /** How long a builder may be silent before another one goes on with its build. Default 10 seconds. */
  readonly lease?: Duration.DurationInput
  /** When what stands aside ends by itself; longer than a rebuild takes. Default 1 day. */
  readonly keepFor?: Duration.DurationInput
}

const defaults = { lease: Duration.seconds(10), keepFor: Duration.days(1) }

const toBuildError =
  (mirror: string) =>
  (cause: RedisError): MirrorBuild.BuildError => {
    if (cause.reason === "OutOfMemory") return new MirrorBuild.MirrorFull({ mirror })
    return cause.retryable
      ? new View.MirrorUnavailable({ mirror, cause })
      : new MirrorBuild.MirrorRefused({ mirror, cause })
  }

/** Goes on with the build that there is, if it is of the same rules and of the same life of the mirror; or begins one. */
const findOrBegin = <E>(
  settings: BuildSteps.Settings,
  builder: string,
  { fresh, plan, rules }: MirrorBuild.OpenOptions<E>
) =>
  Effect.gen(function* () {
    const { keepMillis, leaseMillis, marker, names, send } = settings
    const [found, standing] = yield* send([
      ["HGETALL", names.ledger],
      ["HGET", marker, "generation"]
    ])
    const ledger = BuildLedger.of(yield* BuildSteps.valueOf(settings, found))
    const generation = (yield* BuildSteps.valueOf(settings, standing)) ?? ""
    const isResumed =
      !fresh && ledger.build !== "" && ledger.rules === rules && ledger.generation === generation
    if (isResumed) return BuildSteps.make(settings, builder, isResumed, ledger)

    yield* BuildSteps.removeChunks(settings, ledger)
    const rests = yield* plan
    const build = globalThis.crypto.randomUUID()
    const [reply] = yield* send([
      RedisScript.call(
        BuildScripts.begin,
        [names.ledger, names.lock, marker],
        [build, builder, "0", String(leaseMillis), String(keepMillis), rules, ...rests]
      )
    ])
    const steps = yield* BuildSteps.valueOf(settings, reply)
    if (steps === "UnderWay") return yield* new MirrorBuild.RebuildUnderWay({ mirror: settings.mirror })
    return BuildSteps.make(settings, builder, isResumed, {
      ...BuildLedger.of(null),
      build,
      steps: Number(steps),
      parts: rests.map((rest, number) => ({ number, rest }))
    })
  })

/**
 * Builds a mirror in Redis anew, beside the records that are read: Redis needs room for all of them once more. A mirror
 * of originals keeps the writes that MongoDB has not decided on.
 */
export const make = (options: Options): Effect.Effect<MirrorBuild.MirrorBuild, never, RedisConnection> =>
  Effect.gen(function* () {
    const redis: Context.Tag.Service<RedisConnection> = yield* RedisConnection
    const mirror = yield* MirrorView.make(options)
    const { name, view } = mirror
    const settings: BuildSteps.Settings = {
      mirror: name,
      names: BuildKeys.make(name),
      marker: MirrorKeys.marker(name),
      records: MirrorKeys.make(options.prefixOf ?? MirrorView.defaultPrefix(view)),
      indexes: view === "original" ? (options.indexes ?? (() => ({}))) : undefined,
      tombstoneMillis: tombstoneMillis(options.tombstoneTtl ?? Duration.infinity),
      leaseMillis: Duration.toMillis(options.lease ?? defaults.lease),
      keepMillis: Duration.toMillis(options.keepFor ?? defaults.keepFor),
      send: (commands) =>
        RedisScript.callAll(BuildScripts.all, commands).pipe(
          Effect.provideService(RedisConnection, redis),
          Effect.mapError(toBuildError(name))
        ),
      toBuildError: toBuildError(name)
    }
    const { leaseMillis, names } = settings
    return {
      mirror,
      open: (openOptions) => {
        const builder = globalThis.crypto.randomUUID()
        const lock: BuildLock.Options = { mirror: name, lock: names.lock, builder, leaseMillis }
        return BuildLock.acquire(lock).pipe(
          Effect.catchTag("RedisError", (error) => Effect.fail(toBuildError(name)(error))),
          Effect.zipRight(
            Effect.onError(findOrBegin(settings, builder, openOptions), () => BuildLock.release(lock))
          ),
          Effect.zipLeft(BuildLock.keep(lock)),
          Effect.provideService(RedisConnection, redis)
        )
      }
    }
  })
