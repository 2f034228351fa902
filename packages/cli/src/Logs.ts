import { Effect, Layer, Logger, LogLevel } from "effect"
import { Screen } from "./Screen.ts"

/**
 * Standard output is for results. A person at a terminal is told what the command waits for; otherwise only
 * `--log-level` before the command asks for it.
 */
export const layer: Layer.Layer<never, never, Screen> = Layer.unwrapEffect(
  Effect.map(Screen, ({ hasLive, tell }) =>
    Layer.merge(
      Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ message }) => tell(`twinbox: ${String(message)}`))
      ),
      Logger.minimumLogLevel(hasLive ? LogLevel.Warning : LogLevel.None)
    )
  )
)
