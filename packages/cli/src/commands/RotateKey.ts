import { Command, Options } from "@effect/cli"
import { type KeyRotation, SummaryText } from "@twinbox/repository"
import { Effect, Option } from "effect"
import { UsageError } from "../CommandError.ts"
import * as Comparison from "../Comparison.ts"
import * as Consent from "../Consent.ts"
import * as Count from "../Count.ts"
import { DifferenceList, limit } from "../DifferenceList.ts"
import * as LongWork from "../LongWork.ts"
import * as Output from "../Output.ts"
import * as SyncCommand from "../SyncCommand.ts"
import * as SyncSpeed from "../SyncSpeed.ts"
import * as Table from "../Table.ts"

interface Given {
  readonly status: boolean
  readonly retire: Option.Option<number>
  readonly yes: boolean
}

const columns = [
  { title: "VERSION", alignsRight: true },
  { title: "STATE" },
  { title: "TWINS", alignsRight: true }
]

const statusOf = (collection: string, status: KeyRotation.RotationStatus): Output.Result => {
  const { keys, unknown } = status
  const table = Table.render(
    columns,
    keys.map(({ state, twins, version }) => [`${version}`, state, Count.text(twins)])
  )
  return {
    document: { collection, ...status },
    text: Output.paragraphs([
      table,
      unknown === 0 ? undefined : `${Count.of(unknown, "twin")} of no known version`
    ])
  }
}

const rotated = (
  { left, reports, run, tally }: KeyRotation.RotationSummary,
  keyVersion: number,
  limit: number
): Output.Result => {
  const list = new DifferenceList(limit)
  for (const report of reports) list.add({ where: Comparison.twins, report, ageSeconds: undefined })
  return {
    document: { keyVersion, run, examined: tally.examined, outdated: tally.outdated, left, ...list.document },
    text: Output.paragraphs([
      SummaryText.sentence(tally),
      SummaryText.kinds(tally).join("\n"),
      left === 0 ? `all twins are of key version ${keyVersion}` : undefined,
      list.text
    ]),
    problem: left === 0 ? undefined : `${Count.of(left, "twin")} of earlier keys left`
  }
}

const rotate = (
  { key, sync }: SyncCommand.SyncWorld,
  given: Parameters<typeof SyncSpeed.of>[0],
  limit: number
) =>
  LongWork.run(
    {
      doing: `making twins anew under key version ${key.version}`,
      afterStop: "what was done stays so; the same command goes on from there"
    },
    (onProgress) => sync.rotation.run({ ...SyncSpeed.of(given), onProgress })
  ).pipe(Effect.map((summary) => rotated(summary, key.version, limit)))

const retire = (
  { config: { collection }, sync }: SyncCommand.SyncWorld,
  version: number,
  isAgreed: boolean
) =>
  Effect.gen(function* () {
    if (!isAgreed) {
      yield* Consent.ask(
        `Retire key version ${version} and all before it for '${collection}'? Instances that still have it can save nothing any more, and it cannot be taken back.`
      )
    }
    yield* sync.rotation.retire(version)
    return {
      document: { collection, retired: version },
      text: `key version ${version} is retired: '${collection}' takes no twins of it any more`
    }
  })

/** What is wrong with the command line is told before anything is connected to. */
const check = ({ retire, status, yes }: Given) =>
  status && Option.isSome(retire)
    ? Effect.fail(new UsageError({ message: "--status and --retire cannot be given together" }))
    : Consent.possible(yes || Option.isNone(retire))

const options = {
  status: Options.boolean("status").pipe(
    Options.withDescription("Only show the keys, their states, and how many twins each has.")
  ),
  retire: SyncCommand.count(
    "retire",
    "Put key version N and all before it out of use, once no twin is of them. Asks first."
  ),
  yes: Consent.yes,
  ...SyncSpeed.options,
  limit
}

/** `twinbox rotate-key` */
export const command = Command.make("rotate-key", { ...options, ...SyncCommand.options }, (given) =>
  Effect.zipRight(
    check(given),
    SyncCommand.run(
      given,
      (world) => {
        if (given.status) {
          return Effect.map(world.sync.rotation.status, (status) => statusOf(world.config.collection, status))
        }
        return Option.match(given.retire, {
          onNone: () => rotate(world, given, given.limit),
          onSome: (version) => retire(world, version, given.yes)
        })
      },
      { mayBeginKey: !given.status && Option.isNone(given.retire) }
    )
  )
).pipe(
  Command.withDescription(
    "Makes all twins anew under the newest key. Can be stopped and goes on when called again; --retire then puts the key before out of use."
  )
)
