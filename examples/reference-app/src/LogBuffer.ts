import { Context, Effect, Layer, Logger, Option } from "effect"
import { BoundedLines } from "./BoundedLines.ts"
import * as LogLine from "./LogLine.ts"

/** The lines of this process that are to be stored. */
export class LogBuffer extends Context.Tag("@twinbox/reference-app/LogBuffer")<LogBuffer, BoundedLines>() {}

/** Lines at most: a minute of a hundred requests a second, or some ten megabytes. */
const defaultCapacity = 10_000

/** Takes all lines with the id of a session or a request, beside their being shown. */
export const layer = (capacity = defaultCapacity): Layer.Layer<LogBuffer> =>
  Layer.unwrapEffect(
    Effect.sync(() => {
      const lines = new BoundedLines(capacity)
      const logger = Logger.make<unknown, void>((options) => {
        const line = LogLine.of(options)
        if (Option.isSome(line)) lines.add(line.value)
      })
      return Layer.merge(Layer.succeed(LogBuffer, lines), Logger.add(logger))
    })
  )
