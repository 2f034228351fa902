import { Command, Options } from "@effect/cli"
import { MirrorBuild, RedisConnection } from "@twinbox/redis"
import type { TwinSync } from "@twinbox/repository"
import { Effect, Option, type Redacted } from "effect"
import { UsageError } from "../CommandError.ts"
import * as Count from "../Count.ts"
import * as LongWork from "../LongWork.ts"
import * as Output from "../Output.ts"
import type * as SyncConfig from "../SyncConfig.ts"
import * as SyncCommand from "../SyncCommand.ts"
import * as SyncSpeed from "../SyncSpeed.ts"

interface Given {
  readonly mirror: Option.Option<string>
  readonly fresh: boolean
  readonly concurrency: Option.Option<number>
  readonly maxPerSecond: Option.Option<number>
  readonly redisUrl: Option.Option<Redacted.Redacted>
}

/** The mirror that is meant: the named one, or the only one. */
const choose = (config: SyncConfig.SyncConfig, named: Option.Option<string>) =>
  Effect.flatMap(SyncCommand.mirrorsOf(config, Option.toArray(named)), ([mirror, another]) => {
    if (mirror === undefined) return new UsageError({ message: "the config has no mirrors" })
    if (another === undefined) return Effect.succeed(mirror)
    const names = config.mirrors.map(({ name }) => name).join(", ")
    return new UsageError({ message: `which mirror? add --mirror with one of: ${names}` })
  })

const lines = (summary: TwinSync.RebuildSummary): ReadonlyArray<string> => {
  const { foreign, newer, pending, removed, same, staged, unfit, written } = summary
  const record = (count: number) => Count.of(count, "record")
  return [
    `${Count.of(staged, "state")} read from MongoDB: ${record(written)} put right, ${Count.text(same)} were right`,
    ...(removed === 0 ? [] : [`${record(removed)} removed that nothing explained`]),
    ...(newer === 0 ? [] : [`${record(newer)} left that messages brought something newer of`]),
    ...(pending === 0 ? [] : [`${record(pending)} left that wait for MongoDB's decision on a write`]),
    ...(foreign === 0 ? [] : [`${Count.of(foreign, "key")} left that hold something else`]),
    ...(unfit === 0
      ? []
      : [`${Count.of(unfit, "document")} left out that cannot have been published: twinbox verify tells why`])
  ]
}

const rebuild = ({ config, sync }: SyncCommand.SyncWorld, given: Given) =>
  Effect.gen(function* () {
    const mirror = yield* choose(config, given.mirror)
    const redis = yield* SyncCommand.redis(given.redisUrl)
    const build = yield* Effect.provideService(
      MirrorBuild.make(mirror),
      RedisConnection.RedisConnection,
      redis
    )
    const summary = yield* LongWork.run(
      { doing: `rebuilding ${mirror.name}`, afterStop: "the same command goes on from there" },
      (onProgress) => sync.rebuildMirror(build, { ...SyncSpeed.of(given), fresh: given.fresh, onProgress })
    )
    return {
      document: { mirror: mirror.name, ...summary },
      text: Output.paragraphs([`the mirror ${mirror.name} is rebuilt`, lines(summary).join("\n")])
    } satisfies Output.Result
  })

const options = {
  mirror: Options.text("mirror").pipe(
    Options.withPseudoName("NAME"),
    Options.withDescription("Which mirror. Needed where the config has several."),
    Options.optional
  ),
  fresh: Options.boolean("fresh").pipe(
    Options.withDescription(
      "Begin anew where another rebuild has not ended; otherwise that one is gone on with."
    )
  ),
  ...SyncSpeed.options,
  redisUrl: SyncCommand.redisUrl
}

/** `twinbox rebuild` */
export const command = Command.make("rebuild", { ...options, ...SyncCommand.options }, (given) =>
  SyncCommand.run(given, (world) => rebuild(world, given))
).pipe(
  Command.withDescription(
    "Builds a mirror anew beside the one that is read, and swaps it in while writes go on. For a mirror that lost its data, or shows what it should not."
  )
)
