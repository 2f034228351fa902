import { Cause, Effect, FiberRef, HashMap, Layer, Logger, LogLevel, Option } from "effect"
import * as SafeCause from "./SafeCause.ts"
import { Screen } from "./Screen.ts"
import { Settings } from "./Settings.ts"

const textOf = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value))

/** The messages of a cause; traces are for those who debug. */
const causeText = (cause: Cause.Cause<unknown>, isDebugging: boolean): string => {
  if (Cause.isEmpty(cause)) return ""
  if (isDebugging) return `\n${Cause.pretty(cause)}`
  return ` (${Cause.prettyErrors(cause)
    .map((error) => error.message)
    .join("; ")})`
}

const levelText = ({ label, ordinal }: LogLevel.LogLevel, isShort: boolean): string =>
  isShort && ordinal === LogLevel.Info.ordinal ? "" : `${label.padEnd(5)} `

/** Lines for people. On a terminal the date is left out, and so is the level of what is not worth a second look. */
const plain = (isTerminal: boolean, isDebugging: boolean) =>
  Logger.make<unknown, string>(({ annotations, cause, date, logLevel, message }) => {
    const time = isTerminal ? date.toISOString().slice(11, 19) : date.toISOString()
    const words = (Array.isArray(message) ? message : [message]).map(textOf).join(" ")
    const notes = [...HashMap.entries(annotations)]
      .map(([name, value]) => ` ${name}=${textOf(value)}`)
      .join("")
    return `${time} ${levelText(logLevel, isTerminal)}${words}${causeText(cause, isDebugging)}${notes}`
  })

/** The command line's level holds unless it is the preset one. */
const minimumLevel = Effect.gen(function* () {
  const { logLevel } = yield* Settings
  const current = yield* FiberRef.get(FiberRef.currentMinimumLogLevel)
  const isPreset = current.ordinal === LogLevel.Info.ordinal
  return isPreset ? Option.getOrElse(logLevel, () => current) : current
})

/** Log lines on the screen, as `LOG_FORMAT` and `LOG_LEVEL` say. */
export const layer: Layer.Layer<never, never, Screen | Settings> = Layer.unwrapEffect(
  Effect.gen(function* () {
    const screen = yield* Screen
    const { logFormat } = yield* Settings
    const level = yield* minimumLevel
    const isDebugging = LogLevel.lessThanEqual(level, LogLevel.Debug)
    const format = logFormat === "json" ? Logger.jsonLogger : plain(screen.isTerminal, isDebugging)
    const logger = format.pipe(
      Logger.mapInputOptions((options: Logger.Logger.Options<unknown>) => ({
        ...options,
        cause: SafeCause.of(options.cause)
      })),
      Logger.map((line) => screen.line(line))
    )
    return Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(level))
  })
)
