import { Data, Effect } from "effect"
import { runCommand } from "./RunCommand.ts"

/** A program does not run, or does not say a version that is new enough. */
export class Unusable extends Data.TaggedError("Unusable")<{ readonly message: string }> {}

/** How a program says its version with `--version`, and the oldest that will do. */
export interface VersionRule {
  readonly pattern: RegExp
  readonly minimum: readonly [major: number, minor: number]
}

const isTooOld = (version: string, [major, minor]: VersionRule["minimum"]): boolean => {
  const [ownMajor = 0, ownMinor = 0] = version.split(".").map(Number)
  return ownMajor < major || (ownMajor === major && ownMinor < minor)
}

/** Gives the version of what is at a path, by running it: this also shows that it runs on this machine. */
export type VersionCheck = (path: string) => Effect.Effect<string, Unusable>

/** The version of a program. */
export const programVersion =
  (rule: VersionRule): VersionCheck =>
  (path) =>
    runCommand(path, ["--version"], { limit: "20 seconds" }).pipe(
      Effect.mapError((error) => new Unusable({ message: `${path} does not run (${error.message})` })),
      Effect.flatMap((output) => {
        const version = rule.pattern.exec(output)?.[1]
        if (version === undefined) return new Unusable({ message: `${path} does not say its version` })
        if (!isTooOld(version, rule.minimum)) return Effect.succeed(version)
        return new Unusable({ message: `${path} is ${version}, older than ${rule.minimum.join(".")}` })
      })
    )
