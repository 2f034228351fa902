import { Command, Options } from "@effect/cli"
import type { MirrorView as View } from "@twinbox/outbox"
import { MirrorView, RedisConnection } from "@twinbox/redis"
import type { TwinSync } from "@twinbox/repository"
import { type Duration, Effect, Option, type Redacted } from "effect"
import * as Age from "../Age.ts"
import { UsageError } from "../CommandError.ts"
import * as Comparison from "../Comparison.ts"
import * as Count from "../Count.ts"
import { DifferenceList, limit } from "../DifferenceList.ts"
import * as Output from "../Output.ts"
import type * as SyncConfig from "../SyncConfig.ts"
import * as SyncCommand from "../SyncCommand.ts"
import * as SyncSpeed from "../SyncSpeed.ts"

interface Given {
  readonly mirrors: ReadonlyArray<string>
  readonly noMirrors: boolean
  readonly repair: boolean
  readonly dryRun: boolean
  readonly recheckAfter: Option.Option<string>
  readonly concurrency: Option.Option<number>
  readonly maxPerSecond: Option.Option<number>
  readonly limit: number
  readonly redisUrl: Option.Option<Redacted.Redacted>
}

/** A mirror that is not looked at. */
interface LeftOut {
  readonly mirror: string
  readonly reason: string
}

/** What contradicts itself on a command line. */
const contradiction = ({ dryRun, mirrors, noMirrors, repair }: Given): string | undefined => {
  if (repair && dryRun) return "--repair and --dry-run cannot be given together: --dry-run writes nothing"
  return noMirrors && mirrors.length > 0 ? "--mirror and --no-mirrors cannot be given together" : undefined
}

const recheckOf = (given: Option.Option<string>): Option.Option<Duration.DurationInput | undefined> =>
  Option.match(given, {
    onNone: () => Option.some(undefined),
    onSome: (text) => Option.fromNullable(Age.parse(text))
  })

/** The options of the comparisons, or what is wrong with them. */
const verifyOptions = (given: Given) =>
  Effect.gen(function* () {
    const problem = contradiction(given)
    if (problem !== undefined) return yield* new UsageError({ message: problem })
    const recheckAfter = recheckOf(given.recheckAfter)
    if (Option.isNone(recheckAfter)) {
      return yield* new UsageError({ message: "--recheck-after must be a time such as 3s or 1m" })
    }
    return {
      ...SyncSpeed.of(given),
      repair: given.repair,
      ...(recheckAfter.value === undefined ? {} : { recheckAfter: recheckAfter.value })
    }
  })

interface Chosen {
  readonly views: ReadonlyArray<View.MirrorView>
  readonly leftOut: ReadonlyArray<LeftOut>
}

const without = (mirrors: ReadonlyArray<SyncConfig.Mirror>, reason: string): Chosen => ({
  views: [],
  leftOut: mirrors.map(({ name }) => ({ mirror: name, reason }))
})

const viewOf = ({ name, prefixOf, view }: SyncConfig.Mirror) =>
  MirrorView.make({ view, name, ...(prefixOf === undefined ? {} : { prefixOf }) })

/** The mirrors to compare. Those that are named need a Redis; others are left out where there is none. */
const choose = (config: SyncConfig.SyncConfig, given: Given) =>
  Effect.gen(function* () {
    const wanted = yield* SyncCommand.mirrorsOf(config, given.mirrors)
    if (given.noMirrors) return without(wanted, "--no-mirrors")
    const url = yield* SyncCommand.redisUrlOf(given.redisUrl)
    if (wanted.length === 0) return without([], "")
    if (Option.isNone(url) && given.mirrors.length === 0) return without(wanted, "no REDIS_URL")
    const redis = yield* SyncCommand.redis(given.redisUrl)
    const views = yield* Effect.provideService(
      Effect.forEach(wanted, viewOf),
      RedisConnection.RedisConnection,
      redis
    )
    const others = config.mirrors.filter(({ name }) => !views.some((view) => view.name === name))
    return { views, leftOut: without(others, "not named by --mirror").leftOut }
  })

const verdict = (all: ReadonlyArray<Comparison.Compared>, isRepair: boolean): string => {
  const standing = Comparison.standing(all)
  const repaired = Comparison.repairable(all)
  if (isRepair) {
    const left = standing === 0 ? "none is left" : `${Count.of(standing, "difference")} left`
    return repaired + standing === 0
      ? "no differences"
      : `${Count.of(repaired, "difference")} repaired, ${left}`
  }
  return standing === 0
    ? "no differences"
    : `${Count.of(standing, "difference")}; nothing was written: --repair would put right ${Count.text(repaired)}`
}

const leftOutText = (leftOut: ReadonlyArray<LeftOut>): string =>
  leftOut.map(({ mirror, reason }) => `not compared: ${mirror} (${reason})`).join("\n")

const resultOf = (
  all: ReadonlyArray<Comparison.Compared>,
  leftOut: ReadonlyArray<LeftOut>,
  list: DifferenceList,
  isRepair: boolean
): Output.Result => {
  const standing = Comparison.standing(all)
  return {
    document: {
      repair: isRepair,
      standing,
      compared: all.map(Comparison.document),
      leftOut,
      ...list.document
    },
    text: Output.paragraphs([Comparison.table(all), list.text, leftOutText(leftOut), verdict(all, isRepair)]),
    problem: standing === 0 ? undefined : `${Count.of(standing, "difference")} found and not put right`
  }
}

const verify = ({ config, sync }: SyncCommand.SyncWorld, given: Given, options: TwinSync.VerifyOptions) =>
  Effect.gen(function* () {
    const { leftOut, views } = yield* choose(config, given)
    const list = new DifferenceList(given.limit)
    // First: mirrors are compared with the twins.
    const twins = yield* Comparison.run(Comparison.twins, list, options, sync.verify)
    const mirrors = yield* Effect.forEach(views, (view) =>
      Comparison.run(view.name, list, options, (all) => sync.verifyMirror(view, all))
    )
    return resultOf([twins, ...mirrors], leftOut, list, given.repair)
  })

const options = {
  mirrors: Options.text("mirror").pipe(
    Options.withPseudoName("NAME"),
    Options.withDescription("Of the mirrors only this one. Can be given more than once."),
    Options.repeated
  ),
  noMirrors: Options.boolean("no-mirrors").pipe(Options.withDescription("Compare twins alone.")),
  repair: Options.boolean("repair").pipe(Options.withDescription("Put right what differs.")),
  dryRun: Options.boolean("dry-run").pipe(
    Options.withDescription("Write nothing, and say what --repair would do. The default.")
  ),
  recheckAfter: Options.text("recheck-after").pipe(
    Options.withPseudoName("TIME"),
    Options.withDescription(
      "A difference counts when it stands so long: what is just being written is none. Default 3s."
    ),
    Options.optional
  ),
  ...SyncSpeed.options,
  limit,
  redisUrl: SyncCommand.redisUrl
}

/** `twinbox verify` */
export const command = Command.make("verify", { ...options, ...SyncCommand.options }, (given) =>
  Effect.flatMap(verifyOptions(given), (options) =>
    SyncCommand.run(given, (world) => verify(world, given, options))
  )
).pipe(
  Command.withDescription(
    "Compares originals with their twins, and mirrors with what was published. Exit code 1 when they differ; ids are shown, values never."
  )
)
