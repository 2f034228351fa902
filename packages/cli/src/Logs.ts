import { Layer, Logger, LogLevel } from "effect"

const toStandardError = Logger.make(({ message }) => {
  process.stderr.write(`twinbox: ${String(message)}\n`)
})

/**
 * Standard output is for results. A person at a terminal is told what the command waits for; otherwise only
 * `--log-level` before the command asks for it.
 */
export const layer: Layer.Layer<never> = Layer.merge(
  Logger.replace(Logger.defaultLogger, toStandardError),
  Logger.minimumLogLevel(process.stderr.isTTY ? LogLevel.Warning : LogLevel.None)
)
