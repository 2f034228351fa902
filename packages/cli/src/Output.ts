import { Options } from "@effect/cli"
import { Effect } from "effect"
import { Screen } from "./Screen.ts"

/** What came of a command, for programs and for people. */
export interface Result {
  readonly document: unknown
  readonly text: string
  /** What is wrong all the same: told after the result, and the command ends as failed. */
  readonly problem?: string | undefined
}

/** `--json` */
export const json = Options.boolean("json").pipe(
  Options.withDescription("Print one JSON document instead of text for people.")
)

/** A time as JSON documents have it: ISO 8601 in UTC, or null. */
export const time = (millis: number | undefined): string | null =>
  millis === undefined ? null : new Date(millis).toISOString()

/** Parts of a text with empty lines between them; those that are empty are left out. */
export const paragraphs = (parts: ReadonlyArray<string | undefined>): string =>
  parts.filter((part) => part !== undefined && part !== "").join("\n\n")

/** Prints the result in the form that was asked for. */
export const print = (asJson: boolean, { document, text }: Result) =>
  Effect.flatMap(Screen, ({ print }) => print(asJson ? JSON.stringify(document, null, 2) : text))
